// Watching what a device runs: each program with the report of its run, times included. What profiles are made of.
import { currentRunner } from './devices.js'
import type { RunObserver } from './runner.js'

/**
 * Tells `observer` of every run submitted to the current device from now on that ends well; returns what ends it. Runs are
 * timed in detail meanwhile, which costs little. A device that interprets graphs has no programs, and tells nothing.
 */
export function observeRuns(observer: RunObserver): () => void {
  const { observers } = currentRunner()
  observers.add(observer)
  return () => {
    observers.delete(observer)
  }
}
