// What main and workers say to each other, and the handles they say it through.

export type ToWorker =
  | {
      readonly kind: 'begin'
      readonly memory: WebAssembly.Memory
      readonly thread: number
      readonly threads: number
      /** `performance.timeOrigin` of main: times are told on its clock. */
      readonly origin: number
    }
  | { readonly kind: 'load'; readonly program: number; readonly module: WebAssembly.Module }
  | { readonly kind: 'unload'; readonly program: number }
  | {
      readonly kind: 'run'
      readonly program: number
      readonly run: number
      /** Addresses: the table of arguments, the arena, all threads' scratch, the control block. */
      readonly args: number
      readonly arena: number
      readonly scratch: number
      readonly control: number
    }

export type FromWorker =
  | { readonly kind: 'done'; readonly run: number; readonly milliseconds: number }
  | {
      readonly kind: 'failed'
      readonly run: number
      readonly thread: number
      readonly message: string
    }

/** The worker's end. */
export interface Port {
  post(message: FromWorker): void
  listen(receive: (message: ToWorker) => void): void
}

/** Main's end. */
export interface WorkerHandle {
  post(message: ToWorker): void
  /** Keeps the process alive while there is work. */
  ref(): void
  unref(): void
  terminate(): Promise<void>
}

export interface WorkerEvents {
  message(message: FromWorker): void
  /** The worker ended without being asked to. */
  death(reason: string): void
}

export type Spawn = (events: WorkerEvents) => WorkerHandle
