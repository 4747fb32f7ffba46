// Values of the command line's options: numbers checked where they are read, with the rule in the error.
import { InvalidArgumentError } from 'commander'

/** A whole number of `least` or more. */
export function whole(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`It must be a whole number of ${least} or more.`)
    return value
  }
}

/** A finite number for which `ok` holds; `rule` completes "It must be …". */
export function number(ok: (value: number) => boolean, rule: string): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isFinite(value) || !ok(value))
      throw new InvalidArgumentError(`It must be ${rule}.`)
    return value
  }
}

/** Whole numbers of 1 or more, between commas: `3,224,224`. */
export function sizes(text: string): readonly number[] {
  const values = text.split(/[,x×]/).map(Number)
  if (!values.every((value) => Number.isSafeInteger(value) && value > 0))
    throw new InvalidArgumentError('It must be sizes between commas, such as 3,224,224.')
  return values
}

export const positive = number((value) => value > 0, 'a number above 0')
export const fraction = number(
  (value) => value >= 0 && value < 1,
  'a number from 0 up to, not including, 1',
)

// ---- numbers for people ----

export const count = (value: number): string => Math.round(value).toLocaleString('en-US')

export const percent = (share: number, digits = 2): string => `${(share * 100).toFixed(digits)} %`

/** 1:05, or 1:02:03. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  const two = (value: number) => String(value).padStart(2, '0')
  const minutes = Math.floor(whole / 60)
  return minutes < 60
    ? `${minutes}:${two(whole % 60)}`
    : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`
}

/** 1.2 kB, 3.4 MB, 5.6 GB. */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`
}
