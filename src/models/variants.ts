// What families share: the options of every network, and walks over its layers that set initial values.
import { Conv2d, init, Linear, type Module } from '../nn/index.js'

/** Every network can be made for other images and classes than ImageNet's. */
export interface ModelOptions {
  /** Default 1000, as ImageNet has them; LeNet 10, U-Net 2. */
  readonly numClasses?: number
  /** Channels of the image. Default 3; LeNet and U-Net 1. */
  readonly inChannels?: number
}

/** Visits the convolutions of a network, with their paths. */
export function eachConv(
  model: Module<unknown>,
  visit: (conv: Conv2d, path: string) => void,
): void {
  for (const [path, layer] of model.namedModules()) if (layer instanceof Conv2d) visit(layer, path)
}

/** Visits the linear layers of a network, with their paths. */
export function eachLinear(
  model: Module<unknown>,
  visit: (linear: Linear, path: string) => void,
): void {
  for (const [path, layer] of model.namedModules()) if (layer instanceof Linear) visit(layer, path)
}

/** 0 in the bias, where there is one. */
export function zeroBias(layer: Conv2d | Linear): void {
  if (layer.bias) init.zeros(layer.bias)
}

/** Convolutions keep the variance of gradients through ReLU (He et al. 2015); biases begin at 0. */
export function heConvolutions(model: Module<unknown>): void {
  eachConv(model, (conv) => {
    init.kaimingNormal(conv.weight, { mode: 'fanOut', nonlinearity: 'relu' })
    zeroBias(conv)
  })
}

/** Linear layers begin normally distributed, biases at 0. */
export function normalLinears(model: Module<unknown>, std: number): void {
  eachLinear(model, (linear) => {
    init.normal(linear.weight, 0, std)
    zeroBias(linear)
  })
}

/** The multiple of 8 nearest to `channels`, at least 8, and not more than a tenth below it. */
export function roundChannels(channels: number): number {
  const rounded = Math.max(8, Math.floor((channels + 4) / 8) * 8)
  return rounded < 0.9 * channels ? rounded + 8 : rounded
}
