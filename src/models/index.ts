// burnish/models: the zoo.
export { LeNet } from './lenet.js'
