// The line that shows how far a download is; only where somebody looks on. Written at most ten times a second.
import type { Progress } from '../io/download.js'
import { size } from './values.js'

const WAIT = 100

interface Screen {
  readonly isTTY?: boolean
  write(text: string): unknown
}

export interface ProgressLine {
  show(name: string, progress: Progress): void
  /** Takes the line away. */
  end(): void
}

export function progressLine(screen: Screen, now: () => number = Date.now): ProgressLine {
  let last = -Infinity
  let shown = false
  return {
    show(name, { bytes, total }) {
      if (!screen.isTTY || (now() - last < WAIT && bytes !== total)) return
      last = now()
      shown = true
      const part = total ? ` of ${size(total)}, ${Math.floor((100 * bytes) / total)} %` : ''
      screen.write(`\r\x1b[K${name}: ${size(bytes)}${part}`)
    },
    end() {
      if (shown) screen.write('\r\x1b[K')
      shown = false
    },
  }
}
