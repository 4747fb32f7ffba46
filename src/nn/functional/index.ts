// burnish/nn: the functions, named as in torch.nn.functional.
export * from './activation.js'
export * from './convolution.js'
export * from './linear.js'
export * from './loss.js'
export * from './normalization.js'
export * from './pooling.js'
