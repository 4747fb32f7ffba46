// How a training run is told: a live line on a terminal, plain lines in a file or pipe, JSON lines for programs.
import type { EpochEvent, StepEvent } from '../train/events.js'
import { drawPictures, type Picture } from './draw.js'
import type { StepFigures } from './recorder.js'
import { clock, count, percent } from './values.js'

export interface RunStart {
  readonly model: string
  readonly parameters: number
  readonly data: string
  readonly samples: number
  readonly testSamples: number
  readonly device: string
  readonly threads: number
  readonly epochs: number
  readonly batchSize: number
  readonly optimizer: string
  readonly lr: number
  readonly seed: number
}

export interface RunEnd {
  readonly testLoss: number
  readonly testAccuracy: number
  readonly seconds: number
  /** Undefined on devices without programs. */
  readonly step: StepFigures | undefined
  readonly mistakes: readonly Picture[]
  readonly mistakeCount: number
  readonly out: string | undefined
}

export interface Report {
  start(run: RunStart): void
  step(event: StepEvent): void
  epoch(event: EpochEvent, epochs: number): void
  end(run: RunEnd): void
  /** `resume`: the command that goes on, where checkpoints are kept. */
  stopped(epochsDone: number, resume: string | undefined): void
}

/** The part of a stream that a report needs. */
export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean
  readonly columns?: number
}

const REFRESH_MS = 80
const BAR = 20
const CLEAR_LINE = '\r\x1b[K'

export function jsonReport(out: Output): Report {
  const line = (event: string, fields: object) =>
    out.write(`${JSON.stringify({ event, ...fields })}\n`)
  return {
    start: (run) => {
      line('start', {
        model: run.model,
        parameters: run.parameters,
        data: run.data,
        samples: run.samples,
        test_samples: run.testSamples,
        device: run.device,
        threads: run.threads,
        epochs: run.epochs,
        batch_size: run.batchSize,
        optimizer: run.optimizer,
        lr: run.lr,
        seed: run.seed,
      })
    },
    step: () => {},
    epoch: ({ epoch, train, validation, samplesPerSecond }) => {
      line('epoch', {
        epoch,
        train_loss: train.loss,
        test_loss: validation.loss,
        test_accuracy: validation.accuracy,
        samples_per_second: samplesPerSecond,
      })
    },
    end: (run) => {
      line('end', {
        test_loss: run.testLoss,
        test_accuracy: run.testAccuracy,
        seconds: run.seconds,
        mistakes: run.mistakeCount,
        ...(run.step && {
          kernels: run.step.kernels,
          step_ms: run.step.milliseconds,
          gflops: run.step.gigaflops,
          machine: run.step.machine,
        }),
        ...(run.out === undefined ? {} : { out: run.out }),
      })
    },
    stopped: (epochsDone, resume) => {
      line('stopped', { epochs: epochsDone, ...(resume === undefined ? {} : { resume }) })
    },
  }
}

export function textReport(out: Output, colour: boolean): Report {
  const live = out.isTTY === true
  const columns = out.columns ?? 80
  let drawn = Number.NEGATIVE_INFINITY
  const line = (text: string) => {
    out.write(`${live ? CLEAR_LINE : ''}${text}\n`)
  }
  return {
    start: (run) => {
      line(
        `${run.model} (${count(run.parameters)} parameters) on ${run.data}: ${count(run.samples)} to learn from, ${count(run.testSamples)} to test on`,
      )
      line(
        `${run.epochs} epochs in batches of ${run.batchSize}, ${run.optimizer} with lr ${run.lr}, seed ${run.seed}; device ${run.device}, ${run.threads === 1 ? '1 thread' : `${run.threads} threads`}`,
      )
    },
    step: (event) => {
      const now = performance.now()
      if (!live || (now - drawn < REFRESH_MS && event.step < event.steps)) return
      drawn = now
      const filled = Math.round((event.step / event.steps) * BAR)
      const text = [
        `epoch ${event.epoch}/${event.epochs} ${'━'.repeat(filled)}${'╌'.repeat(BAR - filled)}`,
        `loss ${event.means.loss.toFixed(4)}`,
        `accuracy ${percent(event.means.accuracy)}`,
        `${count(event.samplesPerSecond)} samples/s`,
        `${clock(event.secondsLeft)} left`,
      ].join('  ')
      out.write(`${CLEAR_LINE}${text.slice(0, columns - 1)}`)
    },
    epoch: ({ epoch, train, validation, samplesPerSecond }, epochs) => {
      line(
        `epoch ${epoch}/${epochs}: loss ${train.loss.toFixed(4)}, accuracy ${percent(train.accuracy)}, test loss ${validation.loss.toFixed(4)}, test accuracy ${percent(validation.accuracy)}, ${count(samplesPerSecond)} samples/s`,
      )
    },
    end: (run) => {
      if (run.mistakes.length > 0) {
        line(`the ${run.mistakes.length} most confident of ${run.mistakeCount} mistakes:`)
        out.write(`${drawPictures(run.mistakes, { columns, colour })}\n`)
      }
      if (run.step !== undefined)
        line(
          `step: ${run.step.kernels} kernels, ${run.step.milliseconds.toFixed(2)} ms, ${run.step.gigaflops.toFixed(1)} GFLOP/s (${run.step.machine})`,
        )
      if (run.out !== undefined) line(`saved in ${run.out}`)
      line(
        `test loss ${run.testLoss.toFixed(4)}, test accuracy ${percent(run.testAccuracy)}, after ${run.seconds.toFixed(1)} s`,
      )
    },
    stopped: (epochsDone, resume) => {
      line(`stopped after ${epochsDone} ${epochsDone === 1 ? 'whole epoch' : 'whole epochs'}`)
      line(
        resume === undefined
          ? 'nothing was kept; with --out DIR a run can be resumed'
          : `saved; this goes on where it stopped:\n  ${resume}`,
      )
    },
  }
}
