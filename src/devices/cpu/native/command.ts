// Runs a command to its end. A command does not keep the process alive, and is ended with it: a script that is done
// does not wait for a compiler.
import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'

const running = new Set<ChildProcess>()

function endAll(): void {
  for (const child of running) child.kill()
}

/** What it wrote to its standard output; rejects with its complaint when it fails. */
export function command(name: string, args: readonly string[], folder?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] })
    if (running.size === 0) process.on('exit', endAll)
    running.add(child)
    const ended = () => {
      running.delete(child)
      if (running.size === 0) process.off('exit', endAll)
    }
    child.unref()
    const out = collect(child.stdout)
    const complaint = collect(child.stderr)
    child.on('error', (error) => {
      ended()
      const missing = 'code' in error && error.code === 'ENOENT'
      reject(missing ? new Error(`there is no ${name}`) : error)
    })
    child.on('close', (code, signal) => {
      ended()
      if (code === 0) resolve(out.join(''))
      else {
        const text = complaint.join('').trim().split('\n')
        const line = text.find((t) => /error/i.test(t)) ?? text[0]
        reject(new Error(`${name} failed (${signal ?? code}): ${line}`))
      }
    })
  })
}

function collect(stream: Readable): string[] {
  const parts: string[] = []
  stream.setEncoding('utf8')
  stream.on('data', (part: string) => parts.push(part))
  if ('unref' in stream && typeof stream.unref === 'function') stream.unref()
  return parts
}
