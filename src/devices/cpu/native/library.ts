// Shared objects in this process, through the optional package koffi.

/** An address or handle in C. */
export type Address = number | bigint

/** What the pool's object offers; see runtime.ts. */
export interface Runtime {
  address(memory: Uint8Array): Address
  open(memory: Address, used: number, reserved: number, threads: number): Address
  submit(
    pool: Address,
    run: Address,
    args: number,
    arena: number,
    scratch: number,
    control: number,
  ): number
  wait(pool: Address, known: number): Promise<number>
  time(pool: Address, run: number): number
  leave(pool: Address, run: number): void
  end(pool: Address): void
  free(pool: Address): void
}

export interface Library {
  runtime(path: string): Runtime
  /** The program's `burnish_run`. */
  program(path: string): { readonly run: Address; unload(): void }
}

/** Rejects with the remedy when koffi is not installed or does not work here. */
export async function openLibrary(): Promise<Library> {
  const koffi = await import('koffi').then(
    (module) => module.default,
    (error: unknown) => {
      const text = error instanceof Error ? error.message.split('\n')[0] : String(error)
      throw new Error(`the package koffi does not load (npm install koffi): ${text}`)
    },
  )
  return {
    runtime(path) {
      const object = koffi.load(path)
      const bind = (text: string) => object.func(text)
      const wait = bind('uint32_t burnish_wait(int64_t pool, uint32_t known)')
      return {
        address: bind('int64_t burnish_address(void *memory)'),
        open: bind(
          'int64_t burnish_open(int64_t memory, double used, double reserved, uint32_t threads)',
        ),
        submit: bind(
          'uint32_t burnish_submit(int64_t pool, int64_t run, uint32_t args, uint32_t arena, uint32_t scratch, uint32_t control)',
        ),
        wait: (pool, known) =>
          new Promise((resolve, reject) => {
            wait.async(pool, known, (error: unknown, finished: number) => {
              if (error) reject(error)
              else resolve(finished)
            })
          }),
        time: bind('double burnish_time(int64_t pool, uint32_t run)'),
        leave: bind('void burnish_leave(int64_t pool, uint32_t run)'),
        end: bind('void burnish_end(int64_t pool)'),
        free: bind('void burnish_free(int64_t pool)'),
      }
    },
    program(path) {
      const object = koffi.load(path)
      return { run: object.symbol('burnish_run'), unload: () => object.unload() }
    },
  }
}
