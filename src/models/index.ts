// burnish/models: the zoo.
export { AlexNet } from './alexnet.js'
export { Bert, type BertInputs, type BertOptions, type BertOutput } from './bert.js'
export {
  BertForMaskedLM,
  BertForQuestionAnswering,
  BertForSequenceClassification,
  BertForTokenClassification,
} from './bert-heads.js'
export { ConvNeXt, type ConvNeXtOptions } from './convnext.js'
export { DenseNet } from './densenet.js'
export { EfficientNet, type EfficientNetOptions } from './efficientnet.js'
export {
  beamSearch,
  type DecodeOptions,
  type GenerateOptions,
  generate,
  greedyDecode,
  type Hypothesis,
  type SampleOptions,
} from './generate.js'
export { GoogLeNet, type GoogLeNetLogits } from './googlenet.js'
export {
  GPT2,
  type GPT2Cache,
  GPT2Model,
  type GPT2Options,
  type GPT2Past,
  nextTokenLoss,
} from './gpt2.js'
export {
  type HuggingFaceModel,
  type HuggingFaceOptions,
  type HuggingFaceReport,
  loadHuggingFace,
  type ModelOfTask,
} from './huggingface.js'
export type { Task } from './huggingface-families.js'
export type { Preprocess } from './huggingface-preprocess.js'
export { huggingFaceFiles, saveHuggingFace } from './huggingface-save.js'
export { type InceptionLogits, InceptionV3 } from './inception.js'
export { LeNet } from './lenet.js'
export { type MaskOptions, maskTokens } from './masking.js'
export { MobileNetV2, type MobileNetV2Options } from './mobilenet-v2.js'
export { MobileNetV3 } from './mobilenet-v3.js'
export {
  listPretrained,
  type PretrainedListed,
  type PretrainedNetworks,
  type PretrainedOptions,
  pretrained,
} from './pretrained.js'
export type { PretrainedImages } from './pretrained-images.js'
export type { PretrainedSound, PretrainedText } from './pretrained-others.js'
export type { Preprocessing, PretrainedFacts, PretrainedName } from './pretrained-table.js'
export { BasicBlock, Bottleneck, ResNet, type ResNetOptions } from './resnet.js'
export {
  SentenceEncoder,
  type SentenceEncoderOptions,
  type TextTokens,
} from './sentence-encoder.js'
export { ShuffleNetV2 } from './shufflenet.js'
export { SqueezeNet } from './squeezenet.js'
export { TextCNN, type TextCNNOptions } from './textcnn.js'
export { type Seq2SeqOptions, Seq2SeqTransformer } from './transformer.js'
export { UNet, type UNetOptions } from './unet.js'
export type { ModelOptions } from './variants.js'
export { VGG, type VGGOptions } from './vgg.js'
export { VisionTransformer, ViTFeatures, type ViTOutput, type ViTSizes } from './vit.js'
export { Yolo, type YoloOptions } from './yolo.js'
export type { Said } from './yolo-assign.js'
export { YoloV1, type YoloV1Options } from './yolo-v1.js'
export {
  create,
  type Facts,
  type Kind,
  list,
  type ModelName,
  type ModelOf,
  type OptionsOf,
} from './zoo.js'
