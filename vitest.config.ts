import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 60_000,
    pool: 'forks',
    // Biome's rule against focused tests takes `fit` for one, so Vitest refuses them itself.
    allowOnly: false,
  },
})
