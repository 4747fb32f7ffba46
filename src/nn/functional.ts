// burnish/nn: the functions, named as in torch.nn.functional.
export * from './functional/activation.js'
export * from './functional/convolution.js'
export * from './functional/linear.js'
export * from './functional/loss.js'
export * from './functional/normalization.js'
export * from './functional/pooling.js'
