/** Aligned columns for a terminal. */
import { printable } from '../telemetry/pretty-line.ts';

export interface Column {
  title: string;
  /** Numbers stand at the right. */
  right?: boolean;
}

export type Paint = (text: string, colour: Colour) => string;
export type Colour = 'dim' | 'bold' | 'green' | 'yellow' | 'red' | 'blue';

const CODES: Readonly<Record<Colour, string>> = {
  dim: '2',
  bold: '1',
  green: '32',
  yellow: '33',
  red: '31',
  blue: '34',
};

export function painter(colours: boolean): Paint {
  return colours ? (text, colour) => (text === '' ? '' : `\x1b[${CODES[colour]}m${text}\x1b[0m`) : (text) => text;
}

export interface Cell {
  text: string;
  colour?: Colour;
}

/** Lines without a newline at the end; none is wider than `width` (0: as wide as they get). Control characters are written out. */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly Cell[])[],
  paint: Paint,
  width: number,
): string[] {
  const texts = rows.map((row) => row.map((cell) => printable(cell.text)));
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...texts.map((row) => row[index]!.length)),
  );
  const line = (cells: readonly string[], colourOf: (index: number) => Colour | undefined): string => {
    let used = 0;
    let result = '';
    for (const [index, text] of cells.entries()) {
      const gap = index === 0 ? '' : '  ';
      const last = index === cells.length - 1;
      const padded =
        columns[index]!.right === true ? text.padStart(widths[index]!) : last ? text : text.padEnd(widths[index]!);
      const room = width === 0 ? Infinity : width - used - gap.length;
      if (room <= 0) break;
      const shown = cut(padded, room);
      const colour = colourOf(index);
      result += gap + (colour === undefined ? shown : paint(shown, colour));
      used += gap.length + shown.length;
    }
    return result.trimEnd();
  };
  const titles = line(
    columns.map((column) => column.title),
    () => 'dim',
  );
  return [titles, ...texts.map((row, index) => line(row, (column) => rows[index]![column]!.colour))];
}

export function cut(text: string, room: number): string {
  return text.length <= room ? text : room < 2 ? text.slice(0, room) : `${text.slice(0, room - 1)}…`;
}
