// Files from the network, kept in the user's cache: resumed where a connection was cut or a process ended, checked against
// their hashes before they count, each in its place in one step. Where they lie and how one asks for them differs between
// Node and a page: `#download`. Leaves out downloading parts of one file at once.
import { openPlace, request } from '#download'
import { BurnishError, fail } from '../base/errors.js'
import { digestOf } from './bytes.js'
import type { Kept, Note, Place, Unfinished } from './place.js'
import { reasonOf } from './source.js'
import { difference, type Hashes, isIntact, type Wanted, wantedOf } from './wanted.js'

/** How far a download is. */
export interface Progress {
  readonly url: string
  /** Bytes there by now, those of an earlier attempt included. */
  readonly bytes: number
  /** Bytes of the whole; undefined where neither the server nor the caller said so. */
  readonly total: number | undefined
}

export interface DownloadOptions extends Hashes {
  /** Bytes it must have. */
  readonly size?: number
  /** A folder to keep it in; in a page, the name of a cache. Default: BURNISH_CACHE, else the system's for caches. */
  readonly cache?: string
  /** Called as bytes arrive, and at the end; at once for what is in the cache. */
  readonly onProgress?: (progress: Progress) => void
  readonly signal?: AbortSignal
  /** Sent to the URL's own server alone, not to one it redirects to. */
  readonly headers?: Readonly<Record<string, string>>
  /** Sent as `Authorization: Bearer`; errors name the variable that holds it. */
  readonly token?: { readonly variable: string; readonly value: string | undefined }
  /** Asks no server: what is not in the cache is an error. */
  readonly offline?: boolean
  /** Attempts in a row that may get nothing before it is given up. Default 4. */
  readonly retries?: number
  /** Milliseconds before the second attempt, doubled for each further one. Default 500. */
  readonly wait?: number
  /** Milliseconds without a byte after which an attempt is given up. Default 60,000. */
  readonly patience?: number
}

/** A content that is there. */
export interface Downloaded {
  /** Where it lies; undefined in a page. */
  readonly path: string | undefined
  readonly size: number
  /** It was in the cache before. */
  readonly cached: boolean
  /** The server could not be reached, so this is what the cache had: there may be a newer one. Never with a hash. */
  readonly stale: boolean
  bytes(): Promise<Uint8Array>
}

/** What another attempt may mend. */
class Passing extends Error {
  readonly pause: number
  constructor(message: string, pause = 0) {
    super(message)
    this.pause = pause
  }
}

const LONGEST_PAUSE = 60_000

/**
 * The content of a URL. With a hash it is found in the cache without asking anyone; without one the server is asked
 * whether it has changed.
 * @throws BurnishError naming the URL and what to do: no such file (404), authorization (401, 403), a server that cannot
 * be reached, a wrong hash or size, a file that ends early, a cache that cannot be written. The signal's reason when
 * aborted.
 */
export async function download(url: string, options: DownloadOptions = {}): Promise<Downloaded> {
  const { signal, onProgress, size: expected } = options
  const at = checkUrl(url)
  const here = `download ${shown(at)}`
  const wanted = wantedOf(options, here)
  const key = wanted[0]?.key ?? `url-${await digestOf('sha256', new TextEncoder().encode(url))}`
  const place = openPlace(options.cache, key)
  signal?.throwIfAborted()

  const kept = await inPlace(here, place, () => place.kept())
  const done = (content: Kept, cached: boolean, stale = false): Downloaded => {
    onProgress?.({ url, bytes: content.size, total: content.size })
    const { path, size } = content
    return { path, size, cached, stale, bytes: () => content.bytes() }
  }
  const intact =
    kept !== undefined && (await inPlace(here, place, () => isIntact(kept, wanted, expected)))
  if (intact && wanted.length > 0) return done(kept, true)
  if (options.offline) {
    if (intact) return done(kept, true)
    fail(`${here}: it is not in ${place.name}, and offline no server is asked; get it once online`)
  }

  const unfinished = await inPlace(here, place, () => place.begin())
  const attempt: Attempt = { at, here, place, options, wanted, unfinished, spare: intact }
  const check = () => inPlace(here, place, () => difference(unfinished, wanted))
  const inherited = unfinished.size > 0
  try {
    const answer = await persist(attempt, intact ? kept.note?.etag : undefined)
    if (answer === 'unchanged' && intact) {
      await unfinished.leave()
      return done(kept, true)
    }
    let wrong = await check()
    if (wrong !== undefined && inherited) {
      // What an earlier download left may be of another version, or of a disk that lost it: once from the beginning.
      await inPlace(here, place, () => unfinished.restart({ url }))
      await persist(attempt, undefined)
      wrong = await check()
    }
    if (wrong === undefined) return done(await finish(attempt), false)
    await inPlace(here, place, () => unfinished.restart({ url }))
    throw fail(
      `${here}: ${wrong}: it was changed, or damaged on the way, and is not kept; get it again, and if that ends so too, do not trust it`,
    )
  } catch (error) {
    await inPlace(here, place, () => unfinished.leave())
    signal?.throwIfAborted()
    if (!(error instanceof Passing)) throw error
    if (intact) return done(kept, true, true)
    throw fail(`${here}: ${error.message}`)
  }
}

interface Attempt {
  readonly at: URL
  readonly here: string
  readonly place: Place
  readonly options: DownloadOptions
  readonly wanted: readonly Wanted[]
  readonly unfinished: Unfinished
  /** The cache has a content to fall back on. */
  readonly spare: boolean
}

/** Attempts until the content is whole; gives up after some in a row that brought nothing. */
async function persist(attempt: Attempt, etag: string | undefined): Promise<'whole' | 'unchanged'> {
  // With something in the cache nobody waits long for news of it.
  const { retries = attempt.spare ? 1 : 4, wait = 500, signal } = attempt.options
  for (let failures = 0; ; ) {
    const before = attempt.unfinished.size
    try {
      return await fetchRest(attempt, etag)
    } catch (error) {
      signal?.throwIfAborted()
      if (!(error instanceof Passing)) throw error
      if (attempt.unfinished.size > before) failures = 0
      if (++failures > retries) throw error
      await pause(
        Math.min(Math.max(error.pause, wait * 2 ** (failures - 1)), LONGEST_PAUSE),
        signal,
      )
    }
  }
}

async function finish({ at, here, place, wanted, unfinished }: Attempt): Promise<Kept> {
  return inPlace(here, place, async () => {
    const sha256 =
      wanted.find(({ word }) => word === 'SHA-256')?.hex ?? (await unfinished.digest('sha256'))
    const { etag } = unfinished.note ?? {}
    return unfinished.finish({ url: at.href, etag, total: unfinished.size, sha256 })
  })
}

/** One request for what is missing, read to its end. */
async function fetchRest(
  { at, here, place, options, wanted, unfinished }: Attempt,
  etag: string | undefined,
): Promise<'whole' | 'unchanged'> {
  const { onProgress, size: expected, patience = 60_000 } = options
  const { size: have, note } = unfinished
  // A weak ETag may stand for other bytes, and that of another URL for nothing; a hash to check makes both harmless.
  const strong = note?.url === at.href && note.etag?.startsWith('"') ? note.etag : undefined
  const resume = have > 0 && (strong !== undefined || wanted.length > 0)
  if (resume && have === (expected ?? note?.total)) return 'whole'
  const watch = watching(patience, options.signal)
  try {
    const response = await reach(here, () =>
      request(at.href, {
        headers: {
          ...(resume && { range: `bytes=${have}-`, ...(strong && { 'if-range': strong }) }),
          ...(!resume && etag !== undefined && { 'if-none-match': etag }),
        },
        personal: personalOf(options),
        signal: watch.signal,
      }),
    )
    const status = response.status
    if (status === 304 && etag !== undefined && !resume) return 'unchanged'
    if (status !== 200 && !(status === 206 && resume)) {
      await response.body?.cancel()
      if (status === 416) {
        await inPlace(here, place, () => unfinished.restart({ url: at.href }))
        throw new Passing('the server has no bytes from where it stopped')
      }
      refuse(here, response, options)
    }
    const total = totalOf(response)
    if (expected !== undefined && total !== undefined && total !== expected) {
      await response.body?.cancel()
      fail(`${here}: it has ${total} bytes, not ${expected}: it is another file than the one meant`)
    }
    if (status === 206 && rangeStart(response) !== have) {
      await response.body?.cancel()
      await inPlace(here, place, () => unfinished.restart({ url: at.href }))
      throw new Passing(`the server sent other bytes than those from ${have} on`)
    }
    if (status === 200) {
      const next: Note = { url: at.href, etag: response.headers.get('etag') ?? undefined, total }
      await inPlace(here, place, () => unfinished.restart(next))
    }
    const whole = expected ?? total
    const reader = response.body?.getReader()
    onProgress?.({ url: at.href, bytes: unfinished.size, total: whole })
    for (; reader; ) {
      const cut = () => `the connection was cut after ${unfinished.size} of ${whole ?? '?'} bytes`
      const { done, value } = await reach(here, () => reader.read(), cut)
      if (done) break
      watch.seen()
      if (whole !== undefined && unfinished.size + value.length > whole) {
        await reader.cancel()
        await inPlace(here, place, () => unfinished.restart({ url: at.href }))
        fail(`${here}: it goes on after its ${whole} bytes: the server says or sends a wrong size`)
      }
      await inPlace(here, place, () => unfinished.append(value))
      onProgress?.({ url: at.href, bytes: unfinished.size, total: whole })
    }
    if (whole !== undefined && unfinished.size < whole)
      throw new Passing(`it ended after ${unfinished.size} of ${whole} bytes`)
    return 'whole'
  } finally {
    watch.end()
  }
}

/** Bytes of the whole as the server says; unknown where it also says they are compressed. */
function totalOf({ status, headers }: Response): number | undefined {
  const natural = (text: string | null | undefined) =>
    text && /^\d{1,15}$/.test(text) ? Number(text) : undefined
  if (status === 206) return natural(/\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1])
  const encoding = headers.get('content-encoding') ?? 'identity'
  return encoding === 'identity' ? natural(headers.get('content-length')) : undefined
}

function rangeStart({ headers }: Response): number {
  return Number(/^bytes (\d+)-/.exec(headers.get('content-range') ?? '')?.[1] ?? Number.NaN)
}

/**
 * The headers a server answers to HEAD; where it redirects to another server, those of that answer. In a page, those at the
 * end of all redirects.
 * @throws BurnishError as download does.
 */
export async function headOf(
  url: string,
  options: Pick<DownloadOptions, 'headers' | 'token' | 'signal' | 'patience'> = {},
): Promise<Headers> {
  const at = checkUrl(url)
  const here = `download ${shown(at)}`
  const watch = watching(options.patience ?? 60_000, options.signal)
  try {
    const { signal } = watch
    const personal = personalOf(options)
    const response = await reach(here, () =>
      request(at.href, { method: 'HEAD', personal, signal, stay: true }),
    )
    if (response.status >= 400) refuse(here, response, options)
    return response.headers
  } catch (error) {
    options.signal?.throwIfAborted()
    if (!(error instanceof Passing)) throw error
    throw fail(`${here}: ${error.message}`)
  } finally {
    watch.end()
  }
}

const personalOf = ({ headers, token }: Pick<DownloadOptions, 'headers' | 'token'>) => ({
  ...headers,
  ...(token?.value !== undefined && { authorization: `Bearer ${token.value}` }),
})

/** What an answer without the content means. */
function refuse(
  here: string,
  { status, headers }: Response,
  { token }: Pick<DownloadOptions, 'token'> = {},
): never {
  if (status === 401 || status === 403) {
    const advice =
      token === undefined
        ? 'it wants authorization: give it in the headers'
        : token.value === undefined
          ? `it wants a token: set ${token.variable} to one that may read it`
          : `the token in ${token.variable} may not read it: accept its conditions, or use another token`
    fail(`${here}: ${status}, ${advice}`)
  }
  if (status === 404 || status === 410)
    fail(`${here}: ${status}, there is no such file: check the name and the version`)
  const passing = status === 408 || status === 425 || status === 429 || status >= 500
  if (!passing) fail(`${here}: the server answered ${status}, which gives no file`)
  const seconds = Number(headers.get('retry-after') ?? 0)
  throw new Passing(
    `the server answered ${status}; try again later`,
    Number.isFinite(seconds) ? seconds * 1000 : 0,
  )
}

/** Does what goes over the network. */
async function reach<T>(
  here: string,
  act: () => Promise<T>,
  what: () => string = () => 'the server cannot be reached',
): Promise<T> {
  try {
    return await act()
  } catch (error) {
    if (error instanceof BurnishError) throw error
    const reason = reasonOf(error)
    if (/^(it redirects|internal:)/.test(reason)) throw fail(`${here}: ${reason}`)
    throw new Passing(
      `${what()} (${reason}); check the connection and go on: what is there is kept`,
    )
  }
}

/** Does what goes to the disk. */
async function inPlace<T>(here: string, { name }: Place, act: () => Promise<T>): Promise<T> {
  try {
    return await act()
  } catch (error) {
    if (error instanceof BurnishError) throw error
    throw fail(
      `${here}: ${name} cannot be used (${reasonOf(error)}): set BURNISH_CACHE to a folder that can be written and has room`,
    )
  }
}

/** A signal that is also given when nothing came for so long. */
function watching(patience: number, outer: AbortSignal | undefined) {
  const controller = new AbortController()
  const stop = () => controller.abort(outer?.reason)
  const late = () => controller.abort(new Error(`nothing came for ${patience / 1000} s`))
  outer?.addEventListener('abort', stop)
  if (outer?.aborted) stop()
  let timer = setTimeout(late, patience)
  return {
    signal: controller.signal,
    seen: () => {
      clearTimeout(timer)
      timer = setTimeout(late, patience)
    },
    end: () => {
      clearTimeout(timer)
      outer?.removeEventListener('abort', stop)
    },
  }
}

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, milliseconds)
    signal?.addEventListener('abort', stop, { once: true })
  })
}

function checkUrl(url: string): URL {
  const at = URL.canParse(url) ? new URL(url) : undefined
  if (at === undefined || !/^https?:$/.test(at.protocol))
    throw fail(`download: ${JSON.stringify(url)} is no URL that begins with https:// or http://`)
  return at
}

/** Without what may be secret in it. */
const shown = ({ origin, pathname }: URL) => origin + pathname
