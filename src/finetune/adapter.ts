// A LoRA adapter of a whole model: put on, trained, saved in PEFT's layout, merged into the weights and taken out.
import { fail } from '../base/errors.js'
import { Linear } from '../nn/layers/linear.js'
import { type HostValues, type LoadOptions, type LoadReport, load } from '../nn/load.js'
import type { AnyModule } from '../nn/module.js'
import { Parameter } from '../tensor/parameter.js'
import type { Tensor } from '../tensor/tensor.js'
import { freeze } from './freeze.js'
import { type Adaptable, isAdaptable, LoraBranch, refuse } from './lora.js'
import { type Selector, select, statePaths } from './select.js'
import { headOf } from './surgery.js'

/** After PEFT's LoraConfig, with its defaults. */
export interface LoraOptions {
  /** The rank. Default 8. */
  readonly r?: number
  /** The adapters count alpha / r; with rsLoRA alpha / √r. Default 8. */
  readonly alpha?: number
  /** Of the adapters' inputs, in training. Default 0. */
  readonly dropout?: number
  /**
   * The layers: globs of their paths, or of modules that contain them. By default all linear layers (`all-linear`), or
   * where a model has none but its head, all convolutions without groups; never what is in `train`.
   */
  readonly targets?: Selector
  /** What is trained in full and saved with the adapter: by default the head, the model's last layer. */
  readonly train?: Selector
  readonly rslora?: boolean
  /** Learns the lengths of the weights apart from their directions (DoRA). Default false. */
  readonly dora?: boolean
}

/** What an adapter file says of itself: PEFT's `adapter_config.json`. */
export interface AdapterConfig {
  readonly peft_type: 'LORA'
  readonly r: number
  readonly lora_alpha: number
  readonly lora_dropout: number
  readonly bias: 'none'
  readonly use_rslora: boolean
  readonly use_dora: boolean
  /** Paths of layers. */
  readonly target_modules: readonly string[]
  readonly modules_to_save: readonly string[]
  readonly inference_mode: boolean
  readonly fan_in_fan_out: false
}

const PREFIX = 'base_model.model.'

interface Adapted {
  readonly layer: Adaptable & { lora?: LoraBranch }
  readonly branch: LoraBranch
  remove: () => void
}

/**
 * Puts LoRA adapters on a model: everything is frozen but the adapters and `train`, by default the head.
 *
 *     const adapter = addLora(model, { r: 8, targets: ['encoder'] })
 *     await fit(model, loader, { epochs: 3, optimizer: new AdamW(model.parameters(), { lr: 1e-3 }) })
 *     adapter.merge()                             // or save adapter.stateDict() and adapter.config
 *
 * The adapters are fields of their layers (`layer.lora`), so checkpoints of the model have them. They begin with no
 * effect: the model gives the same bits as before.
 *
 * @throws BurnishError when a target is no linear layer or convolution, or nothing is left to adapt.
 */
export function addLora(model: AnyModule, options: LoraOptions = {}): LoraAdapter {
  return new LoraAdapter(model, options)
}

/** See addLora. */
export class LoraAdapter {
  readonly model: AnyModule
  readonly config: AdapterConfig
  /** By path, in the model's order. */
  readonly #adapted = new Map<string, Adapted>()
  /** What is trained in full, by name. */
  readonly #trained: ReadonlyMap<string, Parameter>
  #enabled = true
  #merged: Map<string, Parameter> | undefined

  constructor(model: AnyModule, options: LoraOptions) {
    this.model = model
    const { r = 8, alpha = 8, dropout = 0, rslora = false, dora = false } = options
    if (!Number.isInteger(r) || r < 1) fail(`addLora: r is ${r}, but must be a whole number from 1`)
    if (!(dropout >= 0 && dropout < 1))
      fail(`addLora: dropout is ${dropout}, but must be from 0 to below 1`)
    const train = options.train ?? headOf(model).module
    const kept = select(model, train, 'addLora: train')
    const targets = targetsOf(model, options.targets, new Set(kept.parameters.values()))
    for (const [path, layer] of targets)
      if ('lora' in layer && layer.lora !== undefined)
        fail(`addLora: ${path} has an adapter already; merge or remove that first`)
    freeze(model)
    for (const parameter of kept.parameters.values()) parameter.trainable = true
    const scaling = alpha / (rslora ? Math.sqrt(r) : r)
    for (const [path, layer] of targets)
      this.#put(path, layer, new LoraBranch(layer, { r, scaling, dropout, dora }))
    // Modules with something to train go back to training mode, the rest stays as frozen.
    for (const module of model.modules())
      if (module.parameters().some((parameter) => parameter.trainable)) module.staysInEval = false
    this.#trained = kept.parameters
    const paths = statePaths(model)
    this.config = {
      peft_type: 'LORA',
      r,
      lora_alpha: alpha,
      lora_dropout: dropout,
      bias: 'none',
      use_rslora: rslora,
      use_dora: dora,
      target_modules: [...targets.keys()],
      modules_to_save: [
        ...new Set(
          [...kept.modules].map((module) => paths.get(module) ?? '').filter((path) => path !== ''),
        ),
      ],
      inference_mode: true,
      fan_in_fan_out: false,
    }
  }

  #put(path: string, layer: Adaptable & { lora?: LoraBranch }, branch: LoraBranch): void {
    layer.lora = branch
    const remove = layer.registerForwardHook((_, [x], output) =>
      this.#enabled && this.#merged === undefined
        ? branch.adapted(x as Tensor, output as Tensor)
        : undefined,
    )
    this.#adapted.set(path, { layer, branch, remove })
  }

  /** The paths of the layers with an adapter. */
  get targets(): readonly string[] {
    return [...this.#adapted.keys()]
  }

  /** What is trained: the adapters, and what is trained in full. */
  parameters(): Parameter[] {
    return this.model.parameters().filter((parameter) => parameter.trainable)
  }

  /** Runs with the adapters out of effect: the model as it was, but for what is trained in full. */
  async disabled<T>(run: () => T | Promise<T>): Promise<T> {
    this.#enabled = false
    try {
      return await run()
    } finally {
      this.#enabled = true
    }
  }

  /**
   * Adds the adapters into the layers' weights; then the model needs no more time than without. `unmerge` undoes it.
   */
  merge(): void {
    if (this.#merged !== undefined) fail('LoraAdapter.merge: it is merged already')
    const before = new Map<string, Parameter>()
    for (const [path, { layer, branch }] of this.#adapted) {
      before.set(path, new Parameter(layer.weight, { role: 'state' }))
      layer.weight.set(branch.mergedWeight().detach())
    }
    this.#merged = before
  }

  /** Puts the layers' own weights back, bit for bit. */
  unmerge(): void {
    if (this.#merged === undefined) fail('LoraAdapter.unmerge: merge() comes first')
    for (const [path, { layer }] of this.#adapted) {
      const own = this.#merged?.get(path)
      if (own) layer.weight.set(own as Tensor)
    }
    this.#merged = undefined
  }

  /** Takes the adapters out of the model. After merge() what they learned stays in the weights. */
  remove(): void {
    for (const { layer, remove } of this.#adapted.values()) {
      remove()
      delete layer.lora
    }
    this.#adapted.clear()
  }

  /** The adapter and what is trained in full, by the names PEFT gives them: `adapter_model.safetensors`. */
  stateDict(): { readonly [name: string]: Parameter } {
    const state: { [name: string]: Parameter } = Object.create(null)
    for (const [path, { branch }] of this.#adapted) {
      state[`${PREFIX}${path}.lora_A.weight`] = branch.a.weight
      state[`${PREFIX}${path}.lora_B.weight`] = branch.b.weight
      if (branch.magnitude) state[`${PREFIX}${path}.lora_magnitude_vector`] = branch.magnitude
    }
    for (const [name, parameter] of this.#trained) state[`${PREFIX}${name}`] = parameter
    return state
  }

  /**
   * Sets adapter and head from what `stateDict()` gave, as such or as host values from a file; see
   * Module.loadStateDict.
   * @throws BurnishError listing what is missing, unexpected, or of another shape; then nothing was set.
   */
  loadStateDict(
    values: { readonly [name: string]: Tensor | HostValues },
    options: LoadOptions = {},
  ): LoadReport {
    return load('LoraAdapter', this.stateDict(), values, options)
  }
}

function targetsOf(
  model: AnyModule,
  selector: Selector | undefined,
  kept: ReadonlySet<Parameter>,
): Map<string, Adaptable> {
  const paths = statePaths(model)
  const all = [...paths].filter(([module]) => !module.parameters().some((own) => kept.has(own)))
  const found = new Map<string, Adaptable>()
  if (selector === undefined || selector === 'all-linear') {
    const linear = all.filter(([module]) => module instanceof Linear)
    const chosen =
      linear.length > 0 || selector !== undefined
        ? linear
        : all.filter(([module]) => isAdaptable(module))
    for (const [module, path] of chosen) found.set(path, module as Adaptable)
  } else {
    const { modules } = select(model, selector, 'addLora: targets')
    const meant = new Set([...modules].flatMap((module) => module.modules()))
    const exact = new Set<unknown>(Array.isArray(selector) ? selector : [selector])
    for (const [module, path] of all) {
      if (isAdaptable(module) && meant.has(module)) found.set(path, module)
      else if (exact.has(path) && module.children().length === 0) refuse(path, module)
    }
  }
  if (found.size === 0)
    fail(`addLora: ${model.constructor.name} has no layer to adapt besides what is trained in full`)
  return found
}
