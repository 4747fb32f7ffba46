// The page: trains LeNet on the same digits once on workers and once on the page's own thread, draws both losses as
// they come, and compares them. A page that is not cross-origin isolated has the second run only.
import { closeDevices, setDevice } from 'burnish'
import { digitsOf, train } from './train.js'

export interface Run {
  readonly name: string
  readonly threads: number
  readonly milliseconds: number
  readonly losses: readonly number[]
}

declare global {
  /** The runs, when all are done: what the test of this page reads. */
  var trained: readonly Run[] | undefined
}

const COLORS = ['#c2410c', '#1d4ed8']
/** The loss at the top of the chart. */
const HIGHEST = 2.5

const find = (id: string): Element => {
  const element = document.getElementById(id)
  if (element === null) throw new Error(`the page has no element #${id}`)
  return element
}
const say = (text: string) => {
  find('status').textContent = text
}

async function fetchBytes(name: string): Promise<Uint8Array> {
  const response = await fetch(new URL(name, document.baseURI))
  if (!response.ok) throw new Error(`${name}: ${response.status} ${response.statusText}`)
  return new Uint8Array(await response.arrayBuffer())
}

/** A line of the chart that grows point by point: x and y in percent of the chart. */
function line(color: string): (x: number, y: number) => void {
  const polyline = document.createElementNS('http://www.w3.org/2000/svg', 'polyline')
  polyline.setAttribute('stroke', color)
  const points: string[] = []
  find('chart').append(polyline)
  return (x, y) => {
    points.push(`${x.toFixed(2)},${y.toFixed(2)}`)
    polyline.setAttribute('points', points.join(' '))
  }
}

function report({ name, milliseconds, losses }: Run, color: string): void {
  const row = document.createElement('tr')
  const cells = [name, losses[0].toFixed(6), losses[losses.length - 1].toFixed(6)]
  for (const text of [...cells, `${(milliseconds / losses.length).toFixed(1)} ms`]) {
    const cell = document.createElement('td')
    cell.textContent = text
    row.append(cell)
  }
  row.style.color = color
  find('runs').append(row)
}

async function main(): Promise<readonly Run[]> {
  const digits = digitsOf(await fetchBytes('images.idx'), await fetchBytes('labels.idx'))
  const runs: Run[] = []
  const begin = async (name: string, threads: number) => {
    const color = COLORS[runs.length]
    const draw = line(color)
    const began = performance.now()
    const losses = await train(digits, (step, steps, loss) => {
      say(`${name}: step ${step} of ${steps}, loss ${loss.toFixed(4)}`)
      draw((100 * step) / steps, 100 * (1 - Math.min(1, loss / HIGHEST)))
    })
    const run = { name, threads, milliseconds: performance.now() - began, losses }
    runs.push(run)
    report(run, color)
    await closeDevices()
  }

  const { threads } = await setDevice('cpu')
  if (crossOriginIsolated) {
    await begin(`${threads} workers`, threads)
    await setDevice('cpu', { shared: false })
  }
  await begin('one thread', 1)

  const [first, second] = runs
  if (second === undefined)
    say(
      'Done, on one thread: without the headers COOP and COEP a page cannot share memory with workers.',
    )
  else {
    const differing = first.losses.filter((loss, i) => loss !== second.losses[i]).length
    say(
      differing === 0
        ? `Done: both runs gave the same ${first.losses.length} losses, bit for bit.`
        : `${differing} of ${first.losses.length} losses differ.`,
    )
  }
  return runs
}

main().then(
  (runs) => Object.assign(globalThis, { trained: runs }),
  (error: unknown) => {
    say(error instanceof Error ? error.message : String(error))
    document.body.classList.add('failed')
    throw error
  },
)
