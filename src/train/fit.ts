// fit: the training loop around one compiled step, with validation, a schedule, callbacks, checkpoints to resume from,
// and a guard against losses that are not finite.
import { BurnishError, fail } from '../base/errors.js'
import type { DataLoader, LoaderState } from '../data/loader.js'
import type { Module } from '../nn/module.js'
import { ReduceLROnPlateau } from '../optim/plateau.js'
import type { LRScheduler } from '../optim/schedules.js'
import { tensor } from '../tensor/create.js'
import { currentDevice } from '../tensor/devices.js'
import type { Parameter } from '../tensor/parameter.js'
import {
  type Checkpoint,
  latestCheckpoint,
  loadCheckpoint,
  previousCheckpoint,
  saveCheckpoint,
  type Trained,
} from './checkpoint.js'
import { type Batches, eachBatch, evaluator } from './evaluate.js'
import type { Callback, EpochEvent, History, Monitor, Run } from './events.js'
import { measurementOf } from './events.js'
import type { FileSystem } from './files.js'
import type { Json } from './json.js'
import { Means, type Values } from './metrics.js'
import { type Profile, profiler } from './profile.js'
import { grouped, type StepSettings, stepper } from './step.js'
import { compareTiers } from './tier.js'

export interface CheckpointPlan {
  /** The run's folder; checkpoints lie in its `checkpoints/`. A new run wants one without any. */
  readonly folder: string
  /** Saved after every so many steps, besides at the end of each epoch. */
  readonly everySteps?: number
  /** How many of the last ones stay; 3 by default. */
  readonly keep?: number
  /** Which one is the best, and stays too: by default that with the lowest loss. */
  readonly monitor?: Monitor
  /** By default Node's file system. */
  readonly files?: FileSystem
}

export interface ProfilePlan {
  /** Steps that are timed; 20 by default. A shorter run is profiled with the steps it has. */
  readonly steps?: number
  /** Steps before them; 5 by default. */
  readonly after?: number
  /** Measures for a second what the machine can reach, too: `profile.ceilings`. False by default. */
  readonly ceilings?: boolean
}

export interface FitOptions extends StepSettings {
  readonly epochs: number
  /** Evaluated after each epoch. */
  readonly validate?: Batches
  /** Stepped between two steps (or epochs, see `scheduleEvery`); a plateau's after each epoch, with `monitor`. */
  readonly scheduler?: LRScheduler | ReduceLROnPlateau
  readonly scheduleEvery?: 'step' | 'epoch'
  /** What a plateau's schedule follows; by default the loss. */
  readonly monitor?: Monitor
  /** Batches whose gradients make one step: they equal those of one batch with all their samples. 1 by default. */
  readonly accumulate?: number
  readonly callbacks?: readonly Callback[]
  /**
   * Times some steps kernel by kernel, after the first few, which compile: the result is `profile` of the history, and goes
   * to the callbacks' `onProfile` as soon as it is there. Numbers stay the same. A device that interprets graphs gives none.
   */
  readonly profile?: boolean | ProfilePlan
  readonly checkpoint?: CheckpointPlan
  /**
   * True: goes on from the newest checkpoint of `checkpoint.folder`, or begins where it has none. A path: goes on from
   * that checkpoint, or that run's newest. Model, optimizer and the rest are made as for the first start; what follows is
   * the same as if the run had not been interrupted, bit for bit on the same tier.
   */
  readonly resume?: boolean | string
}

/** Training batches; a DataLoader, whose position checkpoints keep, or anything else without checkpoints. */
export type TrainingBatches = Batches &
  Partial<Pick<DataLoader<never>, 'stateDict' | 'loadStateDict'>>

/**
 * Trains `model` on batches [input, target] for a number of epochs, one compiled step a batch.
 *
 * Throws when a loss is not finite (naming the first layer that made such a value), the signal's reason when aborted
 * (between two steps: the weights are whole, and with `checkpoint` a checkpoint is saved first), what loader, model and
 * callbacks throw, and what `saveCheckpoint` and `loadCheckpoint` throw.
 */
export async function fit(
  model: Module,
  batches: TrainingBatches,
  options: FitOptions,
): Promise<History> {
  check(batches, options)
  return new Fit(model, batches, options).run()
}

function check(batches: TrainingBatches, options: FitOptions): void {
  const { epochs, accumulate = 1, checkpoint, resume } = options
  const whole = (name: string, value: number) => {
    if (!Number.isInteger(value) || value < 1)
      fail(`fit: ${name} ${value} is not a whole number of 1 or more`)
  }
  whole('epochs', epochs)
  whole('accumulate', accumulate)
  if (typeof options.profile === 'object') whole('profile.steps', options.profile.steps ?? 1)
  if (checkpoint?.everySteps !== undefined) whole('checkpoint.everySteps', checkpoint.everySteps)
  if (batches.length === 0)
    fail('fit: the loader has no batches: the data set is empty, or dropLast leaves nothing of it')
  if (resume === true && checkpoint === undefined)
    fail('fit: resume: true needs checkpoint.folder; or give the path of a checkpoint')
  if ((checkpoint !== undefined || resume) && batches.loadStateDict === undefined)
    fail('fit: checkpoints need batches with a position: use a DataLoader')
}

/** Where a run is besides the state of model, optimizer and so on. */
interface Place {
  /** The epoch under way, or that begins next. */
  epoch: number
  /** Steps done in all. */
  done: number
  /** Steps and batches of the epoch that are done. */
  steps: number
  batches: number
  means: Means
  /** Seconds of training steps, and samples. */
  seconds: number
  samples: number
  /** Seconds when the epoch began. */
  began: number
  stopped: boolean
}

class Fit {
  readonly #model: Module
  readonly #batches: TrainingBatches
  readonly #options: FitOptions
  readonly #history: EpochEvent[] = []
  readonly #callbacks: readonly Callback[]
  /** Times steps, where that was asked for. */
  readonly #profiler: ReturnType<typeof profiler> | undefined
  readonly #place: Place = {
    epoch: 1,
    done: 0,
    steps: 0,
    batches: 0,
    means: new Means(),
    seconds: 0,
    samples: 0,
    began: 0,
    stopped: false,
  }
  /** The loader's state when the epoch under way began. */
  #begun: LoaderState | undefined
  /** The checkpoint it went on from, until its tier is compared with that of the first step. */
  #from: Checkpoint | undefined
  /** `done` and `epoch` at the last save. */
  #saved = ''

  constructor(model: Module, batches: TrainingBatches, options: FitOptions) {
    this.#model = model
    this.#batches = batches
    this.#options = options
    this.#callbacks = options.callbacks ?? []
    const { profile = false } = options
    if (profile !== false) this.#profiler = profiler(profile === true ? {} : profile)
  }

  async run(): Promise<History> {
    const place = this.#place
    const { epochs } = this.#options
    const resumed = await this.#resume()
    const run: Run = {
      model: this.#model,
      optimizer: this.#options.optimizer,
      epochs,
      history: this.#history,
      resumed,
      stop: () => {
        place.stopped = true
      },
    }
    for (const callback of this.#callbacks) await callback.onStart?.(run)
    const step = stepper(this.#model, this.#options)
    const validate = evaluator(this.#model, this.#options)
    try {
      while (place.epoch <= epochs && !place.stopped) {
        await this.#epoch(run, step)
        const validation = this.#options.validate ? await validate(this.#options.validate) : {}
        await this.#endEpoch(run, validation)
      }
      await this.#profiled(run, await this.#profiler?.end())
    } catch (error) {
      this.#profiler?.stop()
      const { signal } = this.#options
      if (signal?.aborted && error === signal.reason) await this.#save()
      throw error
    }
    for (const callback of this.#callbacks) await callback.onEnd?.(run)
    const profile = this.#profiler?.profile
    return { epochs: this.#history, ...(profile && { profile }) }
  }

  async #profiled(run: Run, profile: Profile | undefined): Promise<void> {
    if (profile === undefined) return
    for (const callback of this.#callbacks) await callback.onProfile?.(profile, run)
  }

  /** The rest of the epoch, step by step. */
  async #epoch(run: Run, step: ReturnType<typeof stepper>): Promise<void> {
    const { accumulate = 1, scheduler, scheduleEvery = 'step', signal, epochs } = this.#options
    const place = this.#place
    const steps = Math.ceil(this.#batches.length / accumulate)
    this.#begun = this.#batches.stateDict?.()
    this.#model.train()
    let began = performance.now()
    await eachBatch(grouped(this.#batches, accumulate), signal, async (group) => {
      if (scheduler && !(scheduler instanceof ReduceLROnPlateau) && place.done > 0)
        if (scheduleEvery === 'step' || (place.steps === 0 && place.epoch > 1)) scheduler.step()
      const { lr } = this.#options.optimizer
      const sums = await within(`fit, epoch ${place.epoch}, step ${place.steps + 1}`, () =>
        step(group),
      )
      await this.#compareTier()
      await this.#profiled(run, await this.#profiler?.stepped())
      for (const part of sums) {
        place.means.add(part.sums, part.samples)
        place.samples += part.samples
      }
      place.done++
      place.steps++
      place.batches += group.length
      const now = performance.now()
      place.seconds += (now - began) / 1000
      const event = {
        epoch: place.epoch,
        epochs,
        step: place.steps,
        steps,
        lr,
        means: place.means.values,
        samplesPerSecond: place.samples / place.seconds,
        secondsLeft: (place.seconds / place.done) * (epochs * steps - place.done),
      }
      for (const callback of this.#callbacks) await callback.onStep?.(event, run)
      const every = this.#options.checkpoint?.everySteps
      if (every !== undefined && place.done % every === 0 && place.steps < steps) await this.#save()
      began = performance.now()
    })
  }

  async #endEpoch(run: Run, validation: Values): Promise<void> {
    const place = this.#place
    const { scheduler, monitor = {}, checkpoint } = this.#options
    const seconds = place.seconds - place.began
    const event: EpochEvent = {
      epoch: place.epoch,
      train: place.means.values,
      validation,
      seconds,
      samplesPerSecond: place.means.samples / seconds,
    }
    this.#history.push(event)
    if (scheduler instanceof ReduceLROnPlateau) {
      const measured = measurementOf(event, monitor)
      if (measured === undefined)
        throw fail(`fit: monitor ${monitor.name ?? 'loss'} is none of the metrics of this run`)
      scheduler.step(measured.value)
    }
    for (const callback of this.#callbacks) await callback.onEpochEnd?.(event, run)
    this.#begun = undefined
    Object.assign(place, {
      epoch: place.epoch + 1,
      steps: 0,
      batches: 0,
      means: new Means(),
      began: place.seconds,
    })
    if (checkpoint !== undefined) await this.#save(event)
  }

  /** The loader's state by what was trained on: the loader itself may be ahead. */
  #position(): LoaderState | undefined {
    const begun = this.#begun
    return begun === undefined
      ? this.#batches.stateDict?.()
      : { ...begun, batch: this.#place.batches }
  }

  #trained(): Trained {
    const { optimizer, scheduler, average } = this.#options
    const { stateDict, loadStateDict } = this.#batches
    const loader =
      stateDict && loadStateDict
        ? {
            stateDict: stateDict.bind(this.#batches),
            loadStateDict: loadStateDict.bind(this.#batches),
          }
        : undefined
    return { model: this.#model, optimizer, scheduler, average, loader }
  }

  /** The callbacks with a state of their own. */
  #stateful(): readonly Callback[] {
    return this.#callbacks.filter((callback) => callback.stateDict !== undefined)
  }

  /** Saves a checkpoint, where the run has a folder; after an epoch with its measurement. */
  async #save(event?: EpochEvent): Promise<void> {
    const { checkpoint } = this.#options
    const place = this.#place
    const here = `${place.epoch} ${place.done} ${place.steps}`
    if (checkpoint === undefined || here === this.#saved) return
    const states = this.#stateful().map((callback) => callback.stateDict?.())
    const tensors: { [name: string]: Parameter } = Object.create(null)
    states.forEach((state, i) => {
      for (const [name, value] of Object.entries(state?.tensors ?? {}))
        tensors[`${i}.${name}`] = value
    })
    const { means, ...rest } = place
    const extra = {
      ...rest,
      sums: means.sums,
      counted: means.samples,
      history: this.#history,
      callbacks: states.map((state) => state?.values ?? null),
    } as unknown as Json
    await saveCheckpoint(
      checkpoint.folder,
      this.#trained(),
      {
        step: place.done,
        epoch: event?.epoch ?? place.epoch,
        score: event && measurementOf(event, checkpoint.monitor ?? {}),
        loader: this.#position(),
        tensors,
        extra,
      },
      checkpoint,
    )
    this.#saved = here
  }

  /** Loads the checkpoint to go on from; false where the run begins. */
  async #resume(): Promise<boolean> {
    const { checkpoint, resume = false } = this.#options
    const newest = checkpoint && (await latestCheckpoint(checkpoint.folder, checkpoint))
    if (resume === false) {
      if (newest !== undefined)
        fail(
          `fit: ${checkpoint?.folder} holds checkpoints already (${newest}): name another folder, or resume: true to go on`,
        )
      return false
    }
    const given = typeof resume === 'string'
    const files = { files: checkpoint?.files }
    const path = given ? ((await latestCheckpoint(resume, files)) ?? resume) : newest
    if (path === undefined) return false
    const from = await this.#load(path, files)
    this.#restore(from)
    if (!from.tierKnown) this.#from = from
    return true
  }

  /** A device that chooses its tier has done so by the first step. */
  async #compareTier(): Promise<void> {
    if (this.#from === undefined) return
    compareTiers(this.#from.path, this.#from.tier, await currentDevice())
    this.#from = undefined
  }

  async #load(path: string, files: { readonly files?: FileSystem }): Promise<Checkpoint> {
    try {
      return await loadCheckpoint(path, this.#trained(), files)
    } catch (error) {
      const before = await previousCheckpoint(path, files)
      if (!(error instanceof BurnishError) || before === undefined) throw error
      throw new BurnishError(`${error.message}; the one before it is ${before}`)
    }
  }

  #restore({ path, extra, tensors }: Checkpoint): void {
    if (typeof extra !== 'object' || extra === null || !('callbacks' in extra))
      throw fail(`${path}: was not saved by fit`)
    const { sums, counted, history, callbacks, ...rest } = extra as unknown as Omit<
      Place,
      'means'
    > & {
      readonly sums: Values
      readonly counted: number
      readonly history: readonly EpochEvent[]
      readonly callbacks: readonly Json[]
    }
    const stateful = this.#stateful()
    if (callbacks.length !== stateful.length)
      fail(
        `${path}: was saved by a run with ${callbacks.length} callbacks that have a state, this one has ${stateful.length}: give the same ones, in the same order`,
      )
    Object.assign(this.#place, rest, { means: new Means({ sums, samples: counted }) })
    this.#history.push(...history)
    stateful.forEach((callback, i) => {
      const own = Object.entries(tensors)
        .filter(([name]) => name.startsWith(`${i}.`))
        .map(([name, { data, shape, dtype }]) => [
          name.slice(`${i}.`.length),
          tensor(data, { shape, dtype }),
        ])
      callback.loadStateDict?.({ values: callbacks[i], tensors: Object.fromEntries(own) })
    })
    this.#saved = `${this.#place.epoch} ${this.#place.done} ${this.#place.steps}`
  }
}

/** Says where in the run an error came up. */
async function within<T>(where: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (error instanceof BurnishError) throw new BurnishError(`${where}: ${error.message}`)
    throw error
  }
}
