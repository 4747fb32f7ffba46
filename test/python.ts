// PyTorch as an oracle: scripts run by /usr/bin/python3 where it has torch. Elsewhere tests skip with a printed reason, and
// fail under BURNISH_REQUIRE=all.
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { requireAll } from './support.js'

const PYTHON = '/usr/bin/python3'
const run = promisify(execFile)

/** Runs a script with arguments and gives its standard output; undefined where there is no PyTorch. */
export async function torch(
  script: string,
  ...args: readonly string[]
): Promise<string | undefined> {
  if (!(await hasTorch())) return undefined
  const { stdout } = await run(PYTHON, ['-c', script, ...args], { maxBuffer: 2 ** 26 })
  return stdout
}

let found: Promise<boolean> | undefined

/** Whether Python has torch; asked once. */
export function hasTorch(): Promise<boolean> {
  found ??= run(PYTHON, ['-c', 'import torch']).then(
    () => true,
    () => {
      const reason = `PyTorch skipped: ${PYTHON} has no torch`
      if (requireAll) throw new Error(reason)
      console.warn(reason)
      return false
    },
  )
  return found
}
