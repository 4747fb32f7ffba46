// CSV: quotes, line breaks, types, and errors that name the line.
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parseCsv, readCsv } from './csv.js'
import { TensorDataset } from './dataset.js'

const iris = `sepal,petal,count,species
5.1,1.4,1,setosa
7.0,4.7,2,versicolor
4.9,,-3,setosa
`

test('columns by name and type, to tensors', () => {
  const table = parseCsv(iris)
  expect([table.length, table.columns]).toEqual([3, ['sepal', 'petal', 'count', 'species']])
  expect(table.columns.map((name) => table.type(name))).toEqual(['float', 'float', 'int', 'text'])
  const { data, shape } = table.features(['sepal', 'count'])
  expect([Array.from(data), shape]).toEqual([
    [Math.fround(5.1), 1, 7, 2, Math.fround(4.9), -3],
    [3, 2],
  ])
  expect(table.features(['petal']).data[2]).toBeNaN()
  expect(Array.from(table.integers('count').data)).toEqual([1, 2, -3])
  const { labels, names } = table.classes('species')
  expect([Array.from(labels.data), names]).toEqual([
    [0, 1, 0],
    ['setosa', 'versicolor'],
  ])
  expect(new TensorDataset(table.features(['sepal']), labels).length).toBe(3)
})

test('quotes, commas, line breaks, CRLF, a byte-order mark, blank lines, no last line break', () => {
  const text = '\ufeffa,"b ""c""",d\r\n"1,5","two\r\nlines",""\r\n\r\nx, y ,"z"'
  const table = parseCsv(text)
  expect(table.columns).toEqual(['a', 'b "c"', 'd'])
  expect(table.text('a')).toEqual(['1,5', 'x'])
  expect(table.text('b "c"')).toEqual(['two\r\nlines', ' y '])
  expect(table.text('d')).toEqual(['', 'z'])
})

test('no header, given names, another delimiter, chosen columns and types', () => {
  expect(parseCsv('1;2\n3;4', { header: false, delimiter: ';' }).columns).toEqual(['0', '1'])
  const table = parseCsv('1,2\n3,4', {
    header: ['x', 'y'],
    columns: ['y'],
    types: { y: 'text' },
  })
  expect([table.columns, table.text('y')]).toEqual([['y'], ['2', '4']])
  expect(parseCsv('a\n-inf\nNaN\n1e3\n.5', {}).type('a')).toBe('float')
  expect(parseCsv('a\n1_000\n', {}).type('a')).toBe('text')
  expect(parseCsv('a,a\n', { header: false }).length).toBe(1)
})

test('errors name the line', () => {
  const fails = (text: string, options = {}) => {
    try {
      parseCsv(text, options, 'x.csv')
    } catch (error) {
      return error instanceof Error ? error.message : ''
    }
    return 'no error'
  }
  expect(fails('a,b\n1,2\n"x\ny",2\n3\n')).toBe(
    'x.csv, line 5: 1 fields, but there are 2 columns (a, b)',
  )
  expect(fails('a,b\n1,2,3\n')).toMatch(/line 2: 3 fields/)
  expect(fails('a\n"1\n2\n')).toMatch(/line 2: a quoted field never ends/)
  expect(fails('a\n"1"2\n')).toMatch(/line 2: "2" after the end of a quoted field/)
  expect(fails('a\n1"2\n')).toMatch(/line 2: a quote inside of a field/)
  expect(fails('a\n1\nx\n', { types: { a: 'float' } })).toBe(
    'x.csv, line 3, column a: "x" is no number',
  )
  expect(fails('a\n1\n\n2.5\n', { types: { a: 'int' } })).toMatch(
    /line 4, column a: "2.5" is no whole number/,
  )
  expect(fails('a\n3000000000\n', { types: { a: 'int' } })).toMatch(/of 32 bits/)
  expect(fails('a,a\n1,2')).toMatch(/two columns are called a/)
  expect(fails('')).toMatch(/the file is empty/)
  expect(fails('a\n1', { columns: ['b'] })).toMatch(/no column b; there are a/)
  expect(fails('a\n1', { delimiter: '""' })).toMatch(/is not one character/)
  expect(() => parseCsv(iris).features(['species'])).toThrow(
    /species is text.*classes\('species'\)/,
  )
})

test('a file', async () => {
  const root = await mkdtemp(join(tmpdir(), 'burnish-csv-'))
  await writeFile(join(root, 'a.csv'), iris)
  expect((await readCsv(join(root, 'a.csv'))).length).toBe(3)
  await expect(readCsv(join(root, 'b.csv'))).rejects.toThrow(/b.csv: there is no such file/)
  await expect(readCsv(root)).rejects.toThrow(/is a folder/)
  await rm(root, { recursive: true })
})
