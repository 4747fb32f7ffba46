// Small grey images drawn in a terminal: two pixels a character, with half blocks in 24-bit colour, or with
// a ramp of plain characters where there is no colour.

export interface Picture {
  /** Row-major brightness, 0 to 255. */
  readonly pixels: Uint8Array
  readonly width: number
  readonly height: number
  readonly caption: string
}

const RAMP = ' .:-=+*#%@'
const GAP = 2

function pixel(picture: Picture, y: number, x: number): number {
  return y < picture.height ? picture.pixels[y * picture.width + x] : 0
}

function colouredRow(picture: Picture, y: number): string {
  let row = ''
  let last = ''
  for (let x = 0; x < picture.width; x++) {
    const upper = pixel(picture, y, x)
    const lower = pixel(picture, y + 1, x)
    const code = `\x1b[38;2;${upper};${upper};${upper}m\x1b[48;2;${lower};${lower};${lower}m`
    row += code === last ? '▀' : `${code}▀`
    last = code
  }
  return `${row}\x1b[0m`
}

function plainRow(picture: Picture, y: number): string {
  let row = ''
  for (let x = 0; x < picture.width; x++) {
    const grey = (pixel(picture, y, x) + pixel(picture, y + 1, x)) / 2
    row += RAMP[Math.round((grey / 255) * (RAMP.length - 1))]
  }
  return row
}

/** The lines of one picture, without its caption. */
export function drawPicture(picture: Picture, colour: boolean): string[] {
  const drawRow = colour ? colouredRow : plainRow
  const rows = Math.ceil(picture.height / 2)
  return Array.from({ length: rows }, (_, row) => drawRow(picture, 2 * row))
}

/** The pictures side by side, as many a row as fit in `columns`, each with its caption below. */
export function drawPictures(
  pictures: readonly Picture[],
  options: { readonly columns: number; readonly colour: boolean },
): string {
  const drawRow = options.colour ? colouredRow : plainRow
  const gap = ' '.repeat(GAP)
  const lines: string[] = []
  for (let start = 0; start < pictures.length; ) {
    const width = Math.max(...pictures.map((picture) => picture.width))
    const fit = Math.max(1, Math.floor((options.columns + GAP) / (width + GAP)))
    const band = pictures.slice(start, start + fit)
    const height = Math.max(...band.map((picture) => picture.height))
    for (let y = 0; y < height; y += 2)
      lines.push(band.map((picture) => drawRow(picture, y)).join(gap))
    lines.push(
      band
        .map((picture) => picture.caption.slice(0, width).padEnd(width))
        .join(gap)
        .trimEnd(),
    )
    start += fit
  }
  return lines.join('\n')
}
