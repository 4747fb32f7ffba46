// A command run to its end. Every failure is one clear message on standard error and exit code 1; a bug of ours shows
// its stack. Exit codes: 0 done, 1 an error, 130 interrupted.
import { BurnishError } from '../base/errors.js'
import { printable } from './inspect.js'

const INTERRUPTED = 130

/** The first Ctrl-C asks for an end between two steps, the second ends at once. */
function interruptible(): AbortSignal {
  const controller = new AbortController()
  process.on('SIGINT', () => {
    if (controller.signal.aborted) process.exit(INTERRUPTED)
    controller.abort()
    process.stderr.write('\nstopping after this step; Ctrl-C again ends at once\n')
  })
  return controller.signal
}

/** Runs a command to its end and sets the exit code. */
export async function settle(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const signal = interruptible()
  try {
    await run(signal)
  } catch (error) {
    if (signal.aborted && error === signal.reason) process.exitCode = INTERRUPTED
    else {
      const plain = error instanceof BurnishError || isSystemError(error)
      process.stderr.write(`error: ${messageOf(error, plain)}\n`)
      process.exitCode = 1
    }
  }
}

function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error
}

/** What files have for names may be in it, and must not steer the terminal. */
function messageOf(error: unknown, plain: boolean): string {
  if (!(error instanceof Error)) return String(error)
  const text = plain || error.stack === undefined ? error.message : error.stack
  return text.split('\n').map(printable).join('\n')
}
