// Where downloads go, as download.ts sees it: a place for each content, what is kept there, and what is unfinished.
// download.node.ts has places in a folder, download.browser.ts in the browser's cache; both also make the requests.

/** What is remembered beside a content, kept or unfinished. */
export interface Note {
  readonly url: string
  /** The server's name of this version: what `If-Range` and `If-None-Match` say. */
  readonly etag?: string
  /** Bytes of the whole, where the server said so. */
  readonly total?: number
  /** Of the whole, once it is there. */
  readonly sha256?: string
}

export type Algorithm = 'sha256' | 'sha512' | 'sha1'

export interface Content {
  readonly size: number
  /** The hash, in hexadecimal digits, of `prefix` and the content. */
  digest(algorithm: Algorithm, prefix?: Uint8Array): Promise<string>
}

/** A whole content. */
export interface Kept extends Content {
  readonly path: string | undefined
  readonly note: Note | undefined
  bytes(): Promise<Uint8Array>
  remove(): Promise<void>
}

/** A content that is being written, by one download alone. */
export interface Unfinished extends Content {
  readonly note: Note | undefined
  /** Begins again with nothing. */
  restart(note: Note): Promise<void>
  append(bytes: Uint8Array): Promise<void>
  /** Makes it the content kept at the place, in one step. */
  finish(note: Note): Promise<Kept>
  /** Leaves it for a later download to go on with; nothing is left of nothing. */
  leave(): Promise<void>
}

/** A place for one content. */
export interface Place {
  /** In words, for errors. */
  readonly name: string
  kept(): Promise<Kept | undefined>
  /** Something to write to: what a download that ended left, or nothing yet. */
  begin(): Promise<Unfinished>
}

export interface Ask {
  readonly method?: 'GET' | 'HEAD'
  readonly headers?: Readonly<Record<string, string>>
  /** Headers for the server of the URL alone: never sent to another one that it redirects to. */
  readonly personal?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** Gives back the answer that redirects to another server instead of following it. Node only. */
  readonly stay?: boolean
}
