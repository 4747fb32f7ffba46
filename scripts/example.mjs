// `npm run example -- NAME [arguments]`: runs a program of examples/.
import { runProgram } from './program.mjs'

runProgram('example')
