// Rows of a table picked by an index, and where their gradients go: added up row by row.
import { broadcastTo, composite, gather, type Node, reshape, scatterAdd } from '../../graph/node.js'
import { eq, where } from './math.js'

/** table[index] for rows of a table [rows, d]: [i…] → [i…, d]; the row `padding` gets no gradient. */
export function embed(table: Node, index: Node, padding: number | undefined): Node {
  const [, d] = table.shape
  const count = index.shape.reduce((product, n) => product * n, 1)
  const column = reshape(index, [count, 1])
  const wide = broadcastTo(column, [count, d])
  const rows = () => reshape(gather(0, table, wide), [...index.shape, d])
  if (padding === undefined) return rows()
  const result = { shape: [...index.shape, d], dtype: table.dtype }
  return composite('embedding', `${padding}`, [table, index], result, {
    expand: () => rows(),
    gradient: (_, G) => {
      const given = where(eq(column, padding), 0, reshape(G, [count, d]))
      return [scatterAdd(0, table.shape[0], wide, given), undefined]
    },
  })
}
