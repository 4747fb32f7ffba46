// `npm run experiment -- NAME [arguments]`: runs a program of experiments/, which writes experiments/results/NAME.json.
import { runProgram } from './program.mjs'

runProgram('experiment', { shared: ['support', 'reversal'] })
