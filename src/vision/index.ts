// burnish/vision: boxes, suppression, detections and their precision.
export {
  type BoxFormat,
  type BoxLossOptions,
  boxArea,
  boxConvert,
  boxIou,
  boxIouLoss,
  completeBoxIou,
  completeBoxIouLoss,
  distanceBoxIou,
  distanceBoxIouLoss,
  generalizedBoxIou,
  generalizedBoxIouLoss,
} from './boxes.js'
export {
  type Cells,
  clipBoxes,
  type Detections,
  detectionTargets,
  gridCells,
  type Objects,
  type SelectOptions,
  selectDetections,
  type Targets,
} from './detection.js'
export { batchedNms, nms } from './nms.js'
export { meanAveragePrecision, type Precision, type PrecisionOptions } from './precision.js'
