// The tables of docs/performance.md, from the results files that `npm run bench` writes. Pure: results in, Markdown out.

const WORKLOADS = [
  'lenet64',
  'lenet512',
  'textcnn',
  'resnet18_cifar32',
  'resnet18_224',
  'vgg11_64',
  'mobilenetv2_224',
  'gpt',
]
const PEERS = {
  pytorch: 'PyTorch',
  onnx: 'onnxruntime-node',
  'tfjs-wasm': 'tfjs, wasm',
  'tfjs-cpu': 'tfjs, cpu',
  jax: 'jax-js',
}
const TIERS = { native: 'C', wasm: 'WebAssembly', auto: 'auto' }
const NONE = 'Not measured yet: `npm run bench -- all`.'

export const row = (cells) => `| ${cells.join(' | ')} |`
export const table = (heading, rows, words = 1) =>
  [row(heading), row(heading.map((_, i) => (i < words ? '---' : '---:'))), ...rows.map(row)].join(
    '\n',
  )
const number = (value, digits = 2) =>
  value >= 1000
    ? Math.round(value).toLocaleString('en-US')
    : value.toFixed(value >= 100 ? Math.min(1, digits) : digits)
/** The median, with the spread where there were several rounds. */
const spread = (figure) =>
  figure === undefined
    ? '-'
    : figure.least === figure.most
      ? number(figure.median)
      : `${number(figure.median)} (${number(figure.least)}–${number(figure.most)})`

const byWorkload = (a, b) =>
  WORKLOADS.indexOf(a.workload) - WORKLOADS.indexOf(b.workload) ||
  a.threads - b.threads ||
  String(a.tier).localeCompare(String(b.tier))

/** Results of one peer, in the order of the tables. */
const against = (results, peer) =>
  results
    .filter((result) => result.workload !== undefined && result[peer] !== undefined)
    .sort(byWorkload)

function training(results) {
  const found = against(results, 'pytorch').filter(({ threads }) => threads === 1)
  if (found.length === 0) return NONE
  return table(
    ['training step, 1 thread', 'computed in', 'Burnish, ms', 'PyTorch, ms', 'times as fast'],
    found.map((r) => [
      r.workload,
      TIERS[r.tier],
      spread(r.burnish.train_ms),
      spread(r.pytorch.train_ms),
      r.ratio.train_ms.toFixed(2),
    ]),
    2,
  )
}

function threads(results) {
  const found = against(results, 'pytorch')
  const one = (two) =>
    found.find((r) => r.threads === 1 && r.workload === two.workload && r.tier === two.tier)
  const pairs = found
    .filter((r) => r.threads === 2)
    .map((two) => ({ two, one: one(two) }))
    .filter((pair) => pair.one !== undefined)
  if (pairs.length === 0) return NONE
  const gain = (pair, who) => pair.one[who].train_ms.median / pair.two[who].train_ms.median
  return table(
    [
      'training step, 2 threads',
      'computed in',
      'Burnish, ms',
      'PyTorch, ms',
      'times as fast',
      'our gain by the second thread',
      'PyTorch’s',
    ],
    pairs.map((pair) => [
      pair.two.workload,
      TIERS[pair.two.tier],
      spread(pair.two.burnish.train_ms),
      spread(pair.two.pytorch.train_ms),
      pair.two.ratio.train_ms.toFixed(2),
      gain(pair, 'burnish').toFixed(2),
      gain(pair, 'pytorch').toFixed(2),
    ]),
    2,
  )
}

function inference(results) {
  const found = Object.keys(PEERS).flatMap((peer) =>
    against(results, peer)
      .filter((r) => r.threads === 1 && r.tier === 'native' && r[peer].infer_ms !== undefined)
      .map((r) => ({ r, peer })),
  )
  if (found.length === 0) return NONE
  const order = (a, b) => WORKLOADS.indexOf(a.r.workload) - WORKLOADS.indexOf(b.r.workload)
  return table(
    ['inference, 1 thread', 'against', 'Burnish in C, ms', 'peer, ms', 'times as fast'],
    found
      .sort(order)
      .map(({ r, peer }) => [
        r.workload,
        PEERS[peer],
        spread(r.burnish.infer_ms),
        spread(r[peer].infer_ms),
        r.ratio.infer_ms.toFixed(2),
      ]),
    2,
  )
}

function javascript(results) {
  const found = ['tfjs-cpu', 'jax'].flatMap((peer) =>
    against(results, peer)
      .filter((r) => r[peer].train_ms !== undefined)
      .map((r) => [
        r.workload,
        PEERS[peer],
        TIERS[r.tier],
        spread(r.burnish.train_ms),
        spread(r[peer].train_ms),
        number(r.ratio.train_ms, 0),
      ]),
  )
  if (found.length === 0) return NONE
  const refused = against(results, 'tfjs-wasm').find((r) => r.train_error !== undefined)
  const note = refused
    ? `\n\ntfjs on its wasm backend cannot train them: ${refused.train_error}.`
    : ''
  return (
    table(
      [
        'training step, 1 thread',
        'against',
        'computed in',
        'Burnish, ms',
        'peer, ms',
        'times as fast',
      ],
      found,
      3,
    ) + note
  )
}

function start(results) {
  const found = against(results, 'pytorch').filter(({ threads }) => threads === 1)
  if (found.length === 0) return NONE
  return table(
    [
      '1 thread',
      'computed in',
      'first step after, s',
      'with a warm cache, s',
      'PyTorch, s',
      'peak memory, MB',
      'PyTorch, MB',
    ],
    found.map((r) => [
      r.workload,
      TIERS[r.tier],
      ...[r.burnish.first_step_ms, r.burnish.warm_first_step_ms, r.pytorch.first_step_ms].map(
        (figure) => (figure === undefined ? '-' : (figure.median / 1000).toFixed(2)),
      ),
      number(r.burnish.peak_rss_mb.median, 0),
      number(r.pytorch.peak_rss_mb.median, 0),
    ]),
    2,
  )
}

const share = (gflops, { ceilings }) => `${((gflops / ceilings.gigaflops) * 100).toFixed(0)} %`

function gemm(results) {
  const found = results.find((r) => r.sweep === 'gemm' && r.threads === 1)
  if (found === undefined) return 'Not measured yet: `npm run bench -- gemm`.'
  const { native, wasm, openblas } = found
  const head = [
    'GFLOP/s, 1 thread',
    'C',
    'of its ceiling',
    ...(openblas ? ['OpenBLAS'] : []),
    'WebAssembly',
    'of its ceiling',
  ]
  const rows = native.rows.map((r, i) => [
    r.case,
    number(r.gflops, 1),
    share(r.gflops, native),
    ...(openblas ? [number(openblas.rows[i].gflops, 1)] : []),
    number(wasm.rows[i].gflops, 1),
    share(wasm.rows[i].gflops, wasm),
  ])
  return `${table(head, rows)}\n\n${ceilings(found)}${openblas ? ` OpenBLAS by ${openblas.version}.` : ''}`
}

const ceilings = ({ native, wasm }) =>
  `Ceilings: ${native.ceilings.gigaflops.toFixed(1)} GFLOP/s in C, ${wasm.ceilings.gigaflops.toFixed(1)} in WebAssembly (${wasm.machine}).`

const PASSES = { forward: 'forward', gradX: 'input’s gradient', gradW: 'weight’s gradient' }
const middle = (values) => [...values].sort((a, b) => a - b)[values.length >> 1]

function convolution(results) {
  const found = results.find((r) => r.sweep === 'conv' && r.threads === 1)
  if (found === undefined) return 'Not measured yet: `npm run bench -- conv`.'
  const { native, wasm } = found
  const passes = Object.keys(PASSES)
  const cell = (r, side) => `${number(r.gflops, 0)} (${share(r.kernel_gflops, side)})`
  const rows = native.rows.map((r, i) => [
    r.case,
    ...passes.map((pass) => cell(r[pass], native)),
    ...passes.map((pass) => cell(wasm.rows[i][pass], wasm)),
  ])
  const medians = (side) =>
    passes.map((pass) => share(middle(side.rows.map((r) => r[pass].kernel_gflops)), side))
  const sides = ['C', 'WebAssembly']
  return `${table(
    [
      'GFLOP/s, 1 thread',
      ...sides.flatMap((side) => passes.map((pass) => `${side}, ${PASSES[pass]}`)),
    ],
    [...rows, ['median share', ...medians(native), ...medians(wasm)]],
  )}

In brackets the share of the ceiling, without the time to pack and to change layouts, which networks need less. ${ceilings(found)}`
}

function source(results) {
  if (results.length === 0) return NONE
  const newest = results.reduce((a, b) => (a.date > b.date ? a : b))
  const commits = [...new Set(results.map(({ commit }) => commit.slice(0, 7)))]
  const versions = [
    ...new Set(
      results.flatMap((r) =>
        Object.entries(r)
          .filter(([key, value]) => key.endsWith('_version') && value !== undefined)
          .map(([key, value]) => `${PEERS[key.replace('_version', '')] ?? key}: ${value}`),
      ),
    ),
  ].sort()
  return [
    `- machine: ${newest.machine}`,
    `- Burnish: commit ${commits.join(', ')}; Node ${newest.node}${newest.compiler ? `; C by ${newest.compiler}` : ''}`,
    ...versions.map((version) => `- ${version}`),
    `- ${newest.date.slice(0, 10)}, ${Math.max(...results.map(({ rounds }) => rounds ?? 1))} rounds at most, medians (and least–most)`,
  ].join('\n')
}

/** The parts of the page by the names of their markers. */
export function performanceParts(results) {
  return {
    source: source(results),
    training: training(results),
    threads: threads(results),
    inference: inference(results),
    javascript: javascript(results),
    start: start(results),
    gemm: gemm(results),
    convolution: convolution(results),
  }
}
