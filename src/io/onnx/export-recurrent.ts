// Recurrent layers: a scan whose step is that of an LSTM, GRU or RNN becomes that operator.
import type { NodeOf } from '../../graph/node.js'
import type { Translation } from './export-nodes.js'
import type { Left } from './export-scan.js'

export function recurrent(_scan: NodeOf<'scan'>, _t: Translation): Left | undefined {
  return undefined
}
