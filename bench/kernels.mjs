// One round of a sweep in a process of its own: `node bench/kernels.mjs gemm|conv THREADS TIER`. A JSON line with GFLOP/s of
// each case, by the device's own clock: packing and changes of layout included; `kernel` leaves them out.
import { compile, currentDevice, grad, setDevice, tensor } from 'burnish'
import { conv2d } from 'burnish/nn'
import { measureCeilings, watchRuns } from 'burnish/train'
import { convolutions, products } from './cases.mjs'
import { finish, median, round } from './timing.mjs'

/** Seconds for each case: BENCH_SECONDS, or a quarter of one. */
const SECONDS = Number(process.env.BENCH_SECONDS ?? 0.25)
const WARM_UP = 3
const LEAST_RUNS = 3

const [what, threads, tier] = process.argv.slice(2)
await setDevice('cpu', { threads: Number(threads), tier })
const random = (shape) =>
  tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => Math.random() - 0.5),
    { shape },
  )

async function speed(flops, shapes, fn) {
  const inputs = shapes.map(random)
  const run = compile(fn)
  for (let i = 0; i < WARM_UP; i++) await run(...inputs).data()
  const watch = watchRuns()
  const began = performance.now()
  for (let i = 0; i < LEAST_RUNS || performance.now() - began < SECONDS * 1000; i++)
    await run(...inputs).data()
  watch.stop()
  const [{ program, reports }] = watch.runs()
  const whole = median(reports.map(({ milliseconds }) => milliseconds))
  // Regions in which something is contracted: the rest is packing and changes of layout.
  const contracting = program.regions.map(({ steps }) =>
    steps.some((step) => step.what.startsWith('contract')),
  )
  const alone = median(
    reports.map(({ regions }) =>
      regions.reduce((sum, ms, i) => sum + (contracting[i] ? ms : 0), 0),
    ),
  )
  return {
    ms: round(whole),
    gflops: round(flops / whole / 1e6, 1),
    kernel_gflops: round(flops / alone / 1e6, 1),
  }
}

const rows = []
if (what === 'gemm')
  for (const { m, n, k } of products)
    rows.push({
      case: `${m}×${n}×${k}`,
      ...(await speed(
        2 * m * n * k,
        [
          [m, k],
          [k, n],
        ],
        (a, b) => a.matmul(b),
      )),
    })
else
  for (const { name, x, w, y, flops, stride, padding } of convolutions) {
    const conv = (input, weight) => conv2d(input, weight, undefined, { stride, padding })
    const back = (pick) => (input, weight, G) =>
      grad(conv(input, weight).mul(G).sum(), [pick(input, weight)])[0]
    rows.push({
      case: name,
      forward: await speed(flops, [x, w], conv),
      gradX: await speed(
        flops,
        [x, w, y],
        back((input) => input),
      ),
      gradW: await speed(
        flops,
        [x, w, y],
        back((_, weight) => weight),
      ),
    })
  }
const { gigaflops, gigabytes, machine } = await measureCeilings(await currentDevice())
finish({ tier, machine, threads: Number(threads), ceilings: { gigaflops, gigabytes }, rows })
