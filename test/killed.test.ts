// Runs that are killed with SIGKILL at random moments, thirty in all, and resumed each time, end with the same bits as
// runs that were never killed: on the WebAssembly tier, compiled and imperative. Needs the built package.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Random } from '../src/base/random.js'

const KILLS = 30
const script = fileURLToPath(new URL('./killed-run.mjs', import.meta.url))
const seed = Number(process.env.BURNISH_SEED ?? Date.now() % 2 ** 31)

let root = ''
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'burnish-killed-'))
})
afterAll(() => rm(root, { recursive: true, force: true }))

/** One life of a run; `onStep` may end it. Gives the hash at its end, undefined when it was killed. */
function live(
  folder: string,
  mode: string,
  onStep: (child: ChildProcess) => void,
): Promise<string | undefined> {
  const child = spawn(process.execPath, [script, folder, mode])
  let text = ''
  let errors = ''
  child.stdout.on('data', (chunk) => {
    if (text === '') onStep(child)
    text += chunk
  })
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  return new Promise((resolve, reject) => {
    child.on('exit', (code, signal) => {
      if (signal === 'SIGKILL') resolve(undefined)
      else if (code === 0) resolve(/end (\w+)/.exec(text)?.[1])
      else reject(new Error(`exit code ${code}: ${errors}`))
    })
  })
}

/** The rest of a run that is killed `kills` times at random moments after it has begun to step. */
async function killed(folder: string, mode: string, kills: number, random: Random) {
  let done = 0
  for (;;) {
    const end = await live(folder, mode, (child) => {
      // Up to 40 ms after the first step: in a step, or in one of the calls of a save.
      if (done < kills) setTimeout(() => child.kill('SIGKILL'), random.below(4000) / 100)
    })
    if (end !== undefined) return { end, done }
    done++
  }
}

test(`thirty kills change no bit (cpu wasm, BURNISH_SEED=${seed})`, {
  timeout: 180_000,
}, async () => {
  const modes = ['compiled', 'imperative']
  await Promise.all(
    modes.map(async (mode, i) => {
      const random = new Random(seed, i)
      const whole = await live(join(root, `${mode}-whole`), mode, () => {})
      expect(whole).toMatch(/^[0-9a-f]{64}$/)
      let kills = KILLS / modes.length
      for (let run = 0; kills > 0; run++) {
        const { end, done } = await killed(join(root, `${mode}-${run}`), mode, kills, random)
        expect(end, `seed ${seed}, ${mode}, run ${run}, killed ${done} times`).toBe(whole)
        kills -= done
      }
    }),
  )
})
