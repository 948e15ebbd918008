/** Tables as they are printed, and their place in docs/benchmarks.md. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

export interface Table {
  /** Stable: names the table's place in the document. */
  id: string;
  title: string;
  /** One paragraph: what was done, in which units. */
  note: string;
  columns: string[];
  rows: string[][];
}

export function renderTable(table: Table, facts: readonly string[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [
    `## ${table.title}`,
    '',
    table.note,
    '',
    line(table.columns),
    line(table.columns.map(() => '---')),
    ...table.rows.map(line),
    '',
    ...facts.map((fact) => `*${fact}*  `),
  ].join('\n');
}

/** For a terminal: the same cells, aligned. */
export function printTable(table: Table): string {
  const widths = table.columns.map((column, index) =>
    Math.max(column.length, ...table.rows.map((row) => (row[index] ?? '').length)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => (index === 0 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0)))
      .join('  ')
      .trimEnd();
  return [
    table.title,
    table.note,
    '',
    line(table.columns),
    line(widths.map((width) => '-'.repeat(width))),
    ...table.rows.map(line),
    '',
  ].join('\n');
}

const HEAD = `# Benchmarks

Written by \`npm run bench -- --write\`; each table as it was printed, with the machine that it was measured on. Peers are Debian's packages,
run on the same machine in the same run, in turns. Medians are followed by the least and the greatest of all rounds. What the figures mean and how they
are taken is in the files under \`bench/cases/\`.
`;

/** Replaces the tables' own parts of the document and leaves the others. */
export function writeTables(path: string, tables: readonly Table[], facts: readonly string[]): void {
  let text = existsSync(path) ? readFileSync(path, 'utf8') : HEAD;
  for (const table of tables) {
    const [begin, end] = [`<!-- bench:${table.id} -->`, `<!-- /bench:${table.id} -->`];
    const part = `${begin}\n${renderTable(table, facts)}\n${end}`;
    const from = text.indexOf(begin);
    text =
      from < 0
        ? `${text.trimEnd()}\n\n${part}\n`
        : text.slice(0, from) + part + text.slice(text.indexOf(end, from) + end.length);
  }
  writeFileSync(path, text);
}
