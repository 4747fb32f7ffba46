// What the reports print, from made-up events.
import { expect, test } from 'vitest'
import { jsonReport, textReport } from './report.js'
import { clock, size } from './values.js'

const epoch = {
  epoch: 1,
  train: { loss: 0.5, accuracy: 0.9 },
  validation: { loss: 0.25, accuracy: 0.95 },
  seconds: 2,
  samplesPerSecond: 30000,
}
const step = {
  epoch: 1,
  epochs: 2,
  step: 10,
  steps: 20,
  lr: 0.1,
  means: { loss: 1, accuracy: 0.5 },
  samplesPerSecond: 1234.5,
  secondsLeft: 65,
}

function collect(isTTY: boolean) {
  const output = { text: '', isTTY, columns: 100, write: (text: string) => (output.text += text) }
  return output
}

test('JSON lines: an epoch', () => {
  const output = collect(false)
  jsonReport(output).epoch(epoch, 2)
  expect(output.text).toBe(
    '{"event":"epoch","epoch":1,"train_loss":0.5,"test_loss":0.25,"test_accuracy":0.95,"samples_per_second":30000}\n',
  )
})

test('a live line on a terminal, none elsewhere', () => {
  const terminal = collect(true)
  textReport(terminal, true).step(step)
  expect(terminal.text).toBe(
    '\r\x1b[Kepoch 1/2 ━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌  loss 1.0000  accuracy 50.00 %  1,235 samples/s  1:05 left',
  )
  const pipe = collect(false)
  textReport(pipe, false).step(step)
  textReport(pipe, false).epoch(epoch, 2)
  expect(pipe.text).toBe(
    'epoch 1/2: loss 0.5000, accuracy 90.00 %, test loss 0.2500, test accuracy 95.00 %, 30,000 samples/s\n',
  )
})

test('times and sizes', () => {
  expect([5, 65, 3723].map(clock)).toEqual(['0:05', '1:05', '1:02:03'])
  expect([12, 1234, 5.6e6].map(size)).toEqual(['12 B', '1.2 kB', '5.6 MB'])
})
