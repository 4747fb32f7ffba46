// Which registry a package comes from, as npm decides it: the environment, then the .npmrc files from the project's to the
// machine's, a scope's registry before the general one. After npm's documentation of npmrc and scope. Leaves out
// credentials: what a registry gives only to those who log in, npm installs, and it is found in node_modules.
import { fail } from '../base/errors.js'

export const DEFAULT_REGISTRY = 'https://registry.npmjs.org/'

/** A file's settings: `key = value` lines, `;` and `#` begin comments, `${NAME}` is a variable of the environment. */
export function readNpmrc(
  text: string,
  variable: (name: string) => string | undefined,
): ReadonlyMap<string, string> {
  const settings = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const [, key, value] = /^\s*([^;#=\s][^=]*?)\s*=\s*(.*?)\s*$/.exec(line) ?? []
    if (key === undefined) continue
    const plain = value.replace(/^(["'])(.*)\1$/, '$2')
    settings.set(
      key,
      plain.replace(/\$\{([^}]+)\}/g, (whole, name: string) => variable(name) ?? whole),
    )
  }
  return settings
}

/**
 * The registry of a package, ending in a slash: the first of `settings` that says one, those of the scope before.
 * @throws BurnishError when it is no http or https URL.
 */
export function registryOf(name: string, settings: readonly ReadonlyMap<string, string>[]): string {
  const scope = /^(@[^/]+)\//.exec(name)?.[1]
  const said = (key: string) => settings.map((one) => one.get(key)).find((value) => value)
  const registry = (scope && said(`${scope}:registry`)) ?? said('registry') ?? DEFAULT_REGISTRY
  if (!URL.canParse(registry) || !/^https?:$/.test(new URL(registry).protocol))
    fail(
      `registry ${JSON.stringify(registry)} is no URL: correct it in .npmrc or npm_config_registry`,
    )
  return registry.endsWith('/') ? registry : `${registry}/`
}
