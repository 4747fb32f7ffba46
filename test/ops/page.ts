// docs/operations.md from the table of operations: every operation, its PyTorch name, and where its value and its
// gradient are tested. `node scripts/operations.mjs` writes it; ops.test.ts fails when it is stale.
import { Tensor } from '../../src/index.js'
import { cases, errorCases, nnCases, readCases } from '../ops.cases.js'
import type { Case } from './case.js'
import { build } from './run.js'

/** Where the name is not the same with underscores. */
const named: { readonly [op: string]: string } = {
  concat: 'torch.cat',
  scan: 'a loop; jax.lax.scan',
  isNaN: 'torch.isnan',
  isInf: 'torch.isinf',
  isFinite: 'torch.isfinite',
  isClose: 'torch.isclose',
  index: 'Tensor[…]',
  slice: 'torch.narrow, Tensor[a:b]',
  pad: 'F.pad',
  unfold: 'Tensor.unfold',
  repeat: 'Tensor.repeat, torch.tile',
  expand: 'Tensor.expand, torch.broadcast_to',
  transpose: 'torch.transpose, torch.swapaxes',
  matmul: 'torch.matmul, mm, bmm, mv, dot',
  norm: 'torch.norm',
  data: 'Tensor.tolist, Tensor.numpy',
  item: 'Tensor.item',
  to: 'Tensor.to',
  float: 'Tensor.float',
  int: 'Tensor.int',
  half: 'Tensor.half',
  bfloat16: 'Tensor.bfloat16',
  bool: 'Tensor.bool',
  maskedFill: 'Tensor.masked_fill',
  scatterAdd: 'torch.scatter_add',
  detach: 'Tensor.detach',
}
const namedInNn: { readonly [op: string]: string } = {
  logSigmoid: 'F.logsigmoid',
  multiLabelSoftMarginLoss: 'F.multilabel_soft_margin_loss',
  sigmoidFocalLoss: 'torchvision.ops.sigmoid_focal_loss',
  maxPool1dWithIndices: 'F.max_pool1d(return_indices=True)',
  maxPool2dWithIndices: 'F.max_pool2d(return_indices=True)',
  maxPool3dWithIndices: 'F.max_pool3d(return_indices=True)',
}

const underscored = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const isMethod = (op: string): boolean => op in Tensor.prototype

const DEVICES = 'reference, cpu'

function row(op: string, spelling: string, torch: string, lines: readonly Case[]): string {
  const differentiable = lines.some((line) =>
    build(line).gradients.some((node) => node !== undefined),
  )
  const count = lines.length + readCases.filter((line) => line.op === op).length
  return `| \`${spelling}\` | \`${torch}\` | ${DEVICES} | ${differentiable ? DEVICES : '–'} | ${count} |`
}

const HEAD = ['| here | PyTorch | value | gradient | cases |', '|---|---|---|---|---|']

/** Functions of nn that only have read cases. */
const readNn = ['gumbelSoftmax']

/** The operations of the table, without those of nn. */
export function operations(): string[] {
  const all = [...cases, ...readCases].map((line) => line.op)
  return [...new Set(all.filter((op) => !readNn.includes(op)))].sort((a, b) =>
    a.localeCompare(b, 'en'),
  )
}

export function operationsPage(): string {
  const lines = (list: readonly Case[], op: string) => list.filter((line) => line.op === op)
  const main = (method: boolean) =>
    operations()
      .filter((op) => isMethod(op) === method)
      .map((op) =>
        row(
          op,
          method ? `x.${op}()` : `${op}()`,
          named[op] ?? `torch.${underscored(op)}`,
          lines(cases, op),
        ),
      )
  const nn = [...new Set([...nnCases.map((line) => line.op), ...readNn])].sort((a, b) =>
    a.localeCompare(b, 'en'),
  )
  const total = cases.length + nnCases.length + readCases.length + errorCases.length
  return `${[
    '# Operations',
    '',
    'Made from `test/ops.cases.ts` by `node scripts/operations.mjs`; a test fails when it is stale.',
    '',
    `The table has ${total} cases (${errorCases.length} of them say what is refused). Each runs on the devices \`reference\` (float64) and \`cpu\` with one and two threads; compiled with and without the optimising passes; values against the float64 interpreter, gradients also against central differences. Dtypes, broadcasting, empty and size-1 axes and negative dims are among the cases. – : not differentiable.`,
    '',
    '## Methods of Tensor',
    '',
    ...HEAD,
    ...main(true),
    '',
    '## Functions of `burnish`',
    '',
    ...HEAD,
    ...main(false),
    '',
    '## Functions of `burnish/nn`',
    '',
    'Held to PyTorch’s own numbers by `test/golden.test.ts` besides.',
    '',
    ...HEAD,
    ...nn.map((op) =>
      row(op, `nn.${op}()`, namedInNn[op] ?? `F.${underscored(op)}`, lines(nnCases, op)),
    ),
  ].join('\n')}\n`
}
