// Recurrent layers: against steps written out with cells, variable lengths, projections, and the size of their programs.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compileGraph, inputsOf } from '../src/compiler/compile.js'
import type { Program } from '../src/compiler/program.js'
import { simplify } from '../src/graph/simplify.js'
import * as nn from '../src/nn/index.js'
import { emitWasm } from '../src/targets/wasm/emit.js'
import { grad } from '../src/tensor/backward.js'
import { tensor } from '../src/tensor/create.js'
import { closeDevices, setDevice } from '../src/tensor/devices.js'
import { manualSeed } from '../src/tensor/random.js'
import { stack, type Tensor } from '../src/tensor/tensor.js'
import { testMachine } from './compiled.js'
import { seeded } from './random-graph.js'

beforeAll(() => setDevice('cpu', { threads: 2 }))
afterAll(closeDevices)

const next = seeded(5)
const noise = (...shape: number[]) =>
  tensor(
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => next() * 2 - 1),
    { shape },
  )

async function close(found: Tensor, expected: Tensor, what = ''): Promise<void> {
  expect(found.shape, what).toEqual(expected.shape)
  const [p, q] = await Promise.all([found.data(), expected.data()])
  p.forEach((value, i) => {
    expect(Math.abs(value - q[i]), `${what}[${i}]: ${value} and ${q[i]}`).toBeLessThan(2e-5)
  })
}

const [T, N, I, H] = [6, 3, 5, 4]

describe('one layer gives what its cell gives step by step, values and gradients', () => {
  const cases = [
    ['RNN', () => new nn.RNN(I, H), () => new nn.RNNCell(I, H)],
    [
      'RNN with relu',
      () => new nn.RNN(I, H, { nonlinearity: 'relu' }),
      () => new nn.RNNCell(I, H, { nonlinearity: 'relu' }),
    ],
    ['GRU', () => new nn.GRU(I, H), () => new nn.GRUCell(I, H)],
    [
      'GRU without bias',
      () => new nn.GRU(I, H, { bias: false }),
      () => new nn.GRUCell(I, H, { bias: false }),
    ],
    ['LSTM', () => new nn.LSTM(I, H), () => new nn.LSTMCell(I, H)],
  ] as const
  it.each(cases)('%s', async (_, makeLayer, makeCell) => {
    manualSeed(1)
    const layer = makeLayer()
    const cell = makeCell()
    const own = layer.stateDict()
    for (const [name, parameter] of Object.entries(cell.stateDict()))
      parameter.set(own[`${name}_l0`].detach())
    const x = noise(T, N, I)
    const h0 = noise(1, N, H)
    const c0 = noise(1, N, H)
    const at = (t: number) => x.slice(t, t + 1, { dim: 0 }).squeeze(0)
    const outputs: Tensor[] = []
    let found: readonly Tensor[]
    if (layer instanceof nn.LSTM && cell instanceof nn.LSTMCell) {
      const [output, [h, c]] = layer.forward(x, [h0, c0])
      found = [output, h, c]
      let state: readonly [Tensor, Tensor] = [h0.squeeze(0), c0.squeeze(0)]
      for (let t = 0; t < T; t++) {
        state = cell.forward(at(t), state)
        outputs.push(state[0])
      }
      await close(c.squeeze(0), state[1], 'c')
    } else if (!(layer instanceof nn.LSTM) && !(cell instanceof nn.LSTMCell)) {
      found = layer.forward(x, h0)
      let h = h0.squeeze(0)
      for (let t = 0; t < T; t++) {
        h = cell.forward(at(t), h)
        outputs.push(h)
      }
    } else throw new Error('a layer and another cell')
    const expected = stack(outputs)
    await close(found[0], expected, 'output')
    await close(found[1].squeeze(0), outputs[T - 1], 'h')
    const weigh = noise(T, N, H)
    const names = Object.keys(cell.stateDict())
    const ofLayer = grad(found[0].mul(weigh).sum(), [h0, ...names.map((name) => own[`${name}_l0`])])
    const ofCell = grad(expected.mul(weigh).sum(), [h0, ...Object.values(cell.stateDict())])
    for (const [i, g] of ofLayer.entries())
      await close(g, ofCell[i], `gradient ${['h', ...names][i]}`)
  })
})

describe('what the layers are told', () => {
  it('lengths: as the sequences alone', async () => {
    manualSeed(2)
    const lstm = new nn.LSTM(I, H, { numLayers: 2, bidirectional: true })
    const x = noise(T, 2, I)
    const lengths = [T, 4]
    const [output, [h, c]] = lstm.forward(x, undefined, { lengths })
    for (const [n, length] of lengths.entries()) {
      const alone = lstm.forward(x.slice(0, length, { dim: 0 }).slice(n, n + 1, { dim: 1 }))
      await close(
        output.slice(0, length, { dim: 0 }).slice(n, n + 1, { dim: 1 }),
        alone[0],
        `output ${n}`,
      )
      await close(h.slice(n, n + 1, { dim: 1 }), alone[1][0], `h ${n}`)
      await close(c.slice(n, n + 1, { dim: 1 }), alone[1][1], `c ${n}`)
    }
    const rest = await output.slice(4, T, { dim: 0 }).slice(1, 2, { dim: 1 }).data()
    expect(rest.every((value) => value === 0)).toBe(true)
  })

  it('one sequence without a batch, batchFirst, projections', async () => {
    manualSeed(3)
    const gru = new nn.GRU(I, H)
    const x = noise(T, I)
    const [alone, h] = gru.forward(x)
    const [batched] = gru.forward(x.unsqueeze(1))
    await close(alone, batched.squeeze(1))
    expect(h.shape).toEqual([1, H])
    const lstm = new nn.LSTM(I, 8, { projSize: 3, batchFirst: true, numLayers: 2 })
    const [output, [hn, cn]] = lstm.forward(noise(N, T, I))
    expect([output.shape, hn.shape, cn.shape]).toEqual([
      [N, T, 3],
      [2, N, 3],
      [2, N, 8],
    ])
    expect(
      Object.fromEntries(Object.entries(lstm.stateDict()).map(([k, p]) => [k, p.shape])),
    ).toMatchObject({
      weight_ih_l0: [32, 5],
      weight_hh_l0: [32, 3],
      weight_hr_l0: [3, 8],
      weight_ih_l1: [32, 3],
    })
  })

  it('summary counts every step', () => {
    const gru = new nn.GRU(I, H, { bias: false })
    const { multiplyAdds, parameters } = nn.summary(gru, [T, N, I])
    expect(multiplyAdds).toBe(T * N * 3 * H * (I + H))
    expect(parameters).toBe(3 * H * (I + H))
  })

  it('checkpointed: the same gradients', async () => {
    manualSeed(8)
    const lstm = new nn.LSTM(I, H, { numLayers: 2 })
    const x = noise(T, N, I)
    const parameters = Object.values(lstm.stateDict())
    const of = () => grad(lstm.forward(x)[0].square().sum(), [x, ...parameters])
    const kept = of()
    nn.checkpoint(lstm)
    const again = of()
    for (const [i, g] of kept.entries()) await close(again[i], g, `gradient ${i}`)
  })

  it('lengths that are computed count as those of the ends they pass', async () => {
    const gru = new nn.GRU(I, H)
    const [x, first] = [noise(T, N, I), noise(1, N, H)]
    const run = (...values: readonly number[]) => {
      const lengths = tensor(values, { dtype: 'int32' }).mul(1)
      return gru.forward(x, first, { lengths })
    }
    const [[output, h], [expected, last]] = [run(T + 3, -1, 2), run(T, 0, 2)]
    await close(output, expected, 'output')
    await close(h, last, 'state')
    expect(await output.slice(1, 2, { dim: 1 }).abs().sum().item()).toBe(0)
  })

  it('errors name what is wrong and what to give', () => {
    const lstm = new nn.LSTM(I, H)
    for (const Layer of [nn.RNN, nn.RNNCell])
      expect(() => new Layer(I, H, { nonlinearity: 'sigmoid' as 'tanh' })).toThrow(
        /'sigmoid' must be 'tanh' or 'relu'/,
      )
    expect(() => lstm.forward(noise(T, N, I + 1))).toThrow(
      /LSTM.*has 6 features, but inputSize is 5/,
    )
    expect(() => lstm.forward(noise(T, N, I), [noise(1, N, H), noise(2, N, H)])).toThrow(
      /the first c is \[2, 3, 4\], but must be \[1, 3, 4\]/,
    )
    expect(() => lstm.forward(noise(T, N, I), undefined, { lengths: [1, 2, 9] })).toThrow(
      /a length is 9/,
    )
    const lengths = (...values: readonly number[]) => tensor(values, { dtype: 'int32' })
    for (const bad of [0, -1, 9])
      expect(() =>
        lstm.forward(noise(T, N, I), undefined, { lengths: lengths(1, 2, bad) }),
      ).toThrow(new RegExp(`LSTM: a length is ${bad}, but must be a whole number from 1 to ${T}`))
    expect(() => new nn.RNN(I, H, { dropout: 0.5 })).toThrow(/there is one: use numLayers 2/)
  })
})

describe('steps large enough for several threads', () => {
  const run = async (device: string, threads: number) => {
    await setDevice(device, { threads })
    manualSeed(6)
    const random = seeded(6)
    const lstm = new nn.LSTM(24, 96, { bidirectional: true })
    const x = tensor(
      Float32Array.from({ length: 7 * 32 * 24 }, () => random() * 2 - 1),
      { shape: [7, 32, 24] },
    )
    const [output, [h, c]] = lstm.forward(x)
    const loss = output.square().mean().add(h.mul(c).mean())
    const gradients = grad(loss, Object.values(lstm.stateDict()))
    return Promise.all([output, h, c, ...gradients].map((t) => t.data()))
  }

  it('give the reference’s values, and the same bits on one thread and two', async () => {
    const exact = await run('reference', 1)
    const one = await run('cpu', 1)
    const two = await run('cpu', 2)
    exact.forEach((list, k) => {
      expect(two[k]).toEqual(one[k])
      const most = Math.max(...Array.from(list, Math.abs))
      list.forEach((value, i) => {
        expect(Math.abs(one[k][i] - value), `${k}[${i}]`).toBeLessThan(1e-4 * most)
      })
    })
  })
})

describe('the program of a training step', () => {
  const step = (length: number): { readonly program: Program; readonly milliseconds: number } => {
    manualSeed(4)
    const lstm = new nn.LSTM(16, 32, { numLayers: 2, bidirectional: true })
    const [output] = lstm.forward(noise(length, 8, 16))
    const parameters = Object.values(lstm.stateDict())
    const loss = output.square().mean()
    const gradients = grad(loss, parameters)
    const graph = {
      outputs: [loss.node],
      updates: gradients.map((g, i) => {
        const target = parameters[i].node
        if (target.kind !== 'input') throw new Error('a parameter is an input')
        return { target, value: parameters[i].sub(g.mul(0.1)).node }
      }),
    }
    const begin = performance.now()
    const program = compileGraph(graph, testMachine, inputsOf(graph))
    const { bytes } = emitWasm(program, { shared: true, relaxed: false })
    new WebAssembly.Module(bytes)
    expect(simplify(graph).outputs).toHaveLength(1)
    return { program, milliseconds: performance.now() - begin }
  }

  it('does not grow with the length, and compiles in a second', () => {
    const short = step(50)
    const long = step(500)
    const size = ({ program }: typeof short) => ({
      kernels: program.kernels.length,
      regions: program.regions.length,
      repeats: program.repeats?.length,
    })
    console.log(
      `a step over 500 positions: ${JSON.stringify(size(long))}, ${long.milliseconds.toFixed(0)} ms`,
    )
    expect(size(long)).toEqual(size(short))
    // Numbers such as 84·turn take a byte or two more.
    const bytes = (program: Program) =>
      emitWasm(program, { shared: true, relaxed: false }).bytes.length
    expect(bytes(long.program)).toBeLessThan(bytes(short.program) * 1.05)
    // Layers one after the other, both directions at once: two repeats there, two back.
    expect(long.program.repeats?.map(({ turns }) => turns)).toEqual([500, 500, 500, 500])
    expect(long.milliseconds).toBeLessThan(3000)
  })

  it('has weight gradients outside of the loops, and copies no weights within', () => {
    const { program } = step(500)
    const inside = new Set(
      program.repeats?.flatMap(({ first, end }) =>
        program.regions.slice(first, end).flatMap(({ steps }) => steps.map(({ what }) => what)),
      ),
    )
    for (const what of inside) {
      expect(what).not.toMatch(/\[(128|32), (16|32|64)\]/)
      expect(what).not.toMatch(/view/)
    }
  })
})
