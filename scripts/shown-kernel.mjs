// The program whose kernel the READMEs show: each row of a matrix divided by its greatest absolute value.
import { setDevice, tensor } from 'burnish'

await setDevice('cpu', { threads: 1 })
const x = tensor(new Float32Array(64_000).fill(1), { shape: [64, 1000] })
await x.div(x.abs().amax(1, { keepdim: true })).data()
