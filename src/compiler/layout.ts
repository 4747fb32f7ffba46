// placeholder
import type { Prepared } from './compile.js'
export function arrange(p: Prepared): Prepared {
  return p
}
