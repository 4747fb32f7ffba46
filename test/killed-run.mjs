// A small training run for killed.test.ts: node killed-run.mjs FOLDER COMPILED. It goes on where FOLDER's newest
// checkpoint is, saves one after every step, prints each step, and at the end the hash of its weights.
import { createHash } from 'node:crypto'
import { closeDevices, manualSeed, setDevice } from 'burnish'
import { DataLoader, hostArray, TensorDataset } from 'burnish/data'
import { encodeState } from 'burnish/io'
import * as nn from 'burnish/nn'
import { AdamW, OneCycleLR } from 'burnish/optim'
import { fit } from 'burnish/train'

const [folder, compiled] = process.argv.slice(2)
const COUNT = 40
const EPOCHS = 12
await setDevice('cpu', { tier: 'wasm', threads: 1 })
manualSeed(3)
const model = new nn.Sequential(
  new nn.Linear(4, 8),
  new nn.BatchNorm1d(8),
  new nn.ReLU(),
  new nn.Dropout(0.2),
  new nn.Linear(8, 2),
)
const optimizer = new AdamW(model.parameters(), { lr: 0.01 })
const data = new TensorDataset(
  hostArray(
    Float32Array.from({ length: COUNT * 4 }, (_, i) => Math.sin(i * i)),
    [COUNT, 4],
  ),
  hostArray(Int32Array.from({ length: COUNT }, (_, i) => (i * i) % 2)),
)
const loader = new DataLoader(data, { batchSize: 8, shuffle: true })
const history = await fit(model, loader, {
  epochs: EPOCHS,
  optimizer,
  scheduler: new OneCycleLR(optimizer, 0.05, { totalSteps: EPOCHS * loader.length }),
  compile: compiled === 'compiled',
  checkpoint: { folder, everySteps: 1, keep: 2 },
  resume: true,
  callbacks: [{ onStep: ({ epoch, step }) => process.stdout.write(`step ${epoch} ${step}\n`) }],
})
const hash = createHash('sha256').update(await encodeState(model.stateDict()))
for (const { train } of history.epochs) hash.update(JSON.stringify(train))
process.stdout.write(`end ${hash.digest('hex')}\n`)
await closeDevices()
