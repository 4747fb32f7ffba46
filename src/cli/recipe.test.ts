// Recipes: what is read, what is written, and errors that point at the place.
import { expect, test } from 'vitest'
import { recipeFields } from './fields.js'
import { nearest } from './nearest.js'
import { parseRecipe, writeRecipe } from './recipe.js'

test('fields and comments are read', () => {
  const source = '# first\nmodel: lenet\nbatch-size: 64 # images\nlr: 5e-2\nout: 2024\n'
  expect(parseRecipe(source, 'r.yaml')).toEqual({
    model: 'lenet',
    batchSize: 64,
    lr: 0.05,
    out: '2024',
  })
  expect(parseRecipe('', 'r.yaml')).toEqual({})
  expect(parseRecipe('{ epochs: 2, data: "my digits" }', 'r.yaml')).toEqual({
    epochs: 2,
    data: 'my digits',
  })
})

test('what is written is read back, strange names too', () => {
  const settings = {
    model: 'lenet',
    data: './a: b # c',
    out: 'no',
    lr: 1e-7,
    seed: 0,
    optimizer: 'adamw',
    tier: 'wasm',
  } as const
  expect(parseRecipe(writeRecipe(settings, 'a comment'), 'r.yaml')).toEqual(settings)
})

test.each([
  [
    'an unknown field',
    'model: lenet\nbatchsize: 3',
    /^r\.yaml:2:1: there is no field batchsize; did you mean batch-size\?/,
  ],
  ['the names there are', 'xyz: 3', /there is no field xyz; fields are model, data, epochs/],
  ['an underscore', 'batch_size: 3', /did you mean batch-size\?/],
  [
    'half an epoch',
    'epochs:  0.5',
    /^r\.yaml:1:10: epochs: 0\.5 is not allowed\. It must be a whole number of 1 or more/,
  ],
  [
    'a text for a number',
    'lr: "0.1"',
    /^r\.yaml:1:5: lr: "0\.1" is not a number; a number: highest/,
  ],
  [
    'a wrong word',
    'optimizer: adma',
    /^r\.yaml:1:12: optimizer: adma is not allowed\. Allowed choices are sgd.* Did you mean adam\?/,
  ],
  ['a list', 'a-list:\n  - 1\n', /there is no field a-list/],
  ['a list for a value', 'epochs:\n  - 1\n', /^r\.yaml:2:3: epochs: needs one value/],
  ['no value', 'epochs:\n', /^r\.yaml:1:\d+: epochs: needs one value, a number/],
  ['a field twice', 'epochs: 1\nepochs: 2', /^r\.yaml:2:1: Map keys must be unique/],
  ['no YAML', 'epochs: [1', /^r\.yaml:1:\d+: /],
  ['a list of all', '- epochs', /^r\.yaml:1:1: a recipe is a list of fields/],
  ['an alias', 'epochs: *other', /^r\.yaml:1:9: /],
  ['a tag', 'model: !!js/function "x"', /^r\.yaml:1:8: /],
])('%s: file, line and column', (_, source, message) => {
  expect(() => parseRecipe(source, 'r.yaml')).toThrow(message)
})

test('every field has a flag of its name', () => {
  const names = recipeFields.map(({ name }) => name)
  expect(new Set(names).size).toBe(names.length)
  for (const name of names) expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/)
})

test('the nearest spelling, if it is near', () => {
  const known = ['mnist', 'fashion-mnist', 'epochs']
  expect(nearest('mnits', known)).toBe('mnist')
  expect(nearest('Epoch', known)).toBe('epochs')
  expect(nearest('fashion_mnist', known)).toBe('fashion-mnist')
  expect(nearest('imagenet', known)).toBe(undefined)
})
