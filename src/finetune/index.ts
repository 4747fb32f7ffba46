// burnish/finetune: what makes a trained network one for another task.
export { type AdapterConfig, addLora, LoraAdapter, type LoraOptions } from './adapter.js'
export { type FreezeOptions, freeze, isNorm, type Trained, trained, unfreeze } from './freeze.js'
export {
  type LayerGroup,
  layerGroups,
  type ParameterGroup,
  type ParameterGroupOptions,
  parameterGroups,
} from './groups.js'
export { type Adaptable, LoraBranch } from './lora.js'
export { globToRegExp, type Predicate, type Selection, type Selector, select } from './select.js'
export {
  adaptInput,
  type Head,
  type HeadOptions,
  headOf,
  loadPartial,
  replaceHead,
} from './surgery.js'
