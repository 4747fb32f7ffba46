// Downloads in a page: whole contents are kept in the browser's Cache where it has one, unfinished ones in memory, while a
// download lasts. The browser follows redirects itself and keeps `Authorization` from other servers. Chosen by the
// condition of `#download` in package.json.
import { digestOf, joined } from './bytes.js'
import type { Ask, Kept, Note, Place, Unfinished } from './place.js'

const NOTE = 'x-burnish-note'

export function variable(_name: string): string | undefined {
  return undefined // a page has no environment
}

/** `cache` names the browser's cache. */
export function openPlace(cache = 'burnish', key: string): Place {
  // A page that is not secure has no caches: contents then live as long as their download.
  const store = () => (typeof caches === 'undefined' ? undefined : caches.open(cache))
  const address = `https://burnish.invalid/${key}`
  const kept = (bytes: Uint8Array, note: Note | undefined): Kept => ({
    path: undefined,
    size: bytes.length,
    note,
    bytes: async () => bytes,
    digest: (algorithm, prefix) => digestOf(algorithm, prefix ? joined([prefix, bytes]) : bytes),
    remove: async () => {
      await (await store())?.delete(address)
    },
  })
  return {
    name: `the browser's cache ${cache}`,
    async kept() {
      const found = await (await store())?.match(address)
      if (!found) return undefined
      const note = found.headers.get(NOTE)
      return kept(
        new Uint8Array(await found.arrayBuffer()),
        note === null ? undefined : JSON.parse(decodeURIComponent(note)),
      )
    },
    async begin(): Promise<Unfinished> {
      let chunks: Uint8Array[] = []
      let [size, note]: [number, Note | undefined] = [0, undefined]
      return {
        get size() {
          return size
        },
        get note() {
          return note
        },
        async restart(next) {
          chunks = []
          size = 0
          note = next
        },
        async append(bytes) {
          chunks.push(bytes)
          size += bytes.length
        },
        digest: (algorithm, prefix) =>
          digestOf(algorithm, joined(prefix ? [prefix, ...chunks] : chunks)),
        async finish(last) {
          const whole = joined(chunks)
          const headers = { [NOTE]: encodeURIComponent(JSON.stringify(last)) }
          await (await store())?.put(address, new Response(whole, { headers }))
          return kept(whole, last)
        },
        async leave() {},
      }
    },
  }
}

export function request(url: string, { method = 'GET', headers, personal, signal }: Ask = {}) {
  return fetch(url, { method, headers: { ...headers, ...personal }, signal })
}
