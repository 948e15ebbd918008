/** A formula over the metrics of a backend, as a tree that is plain data. It is read in config/, and evaluated here: nothing in it can do more than arithmetic. */
export type FormulaNode =
  | { kind: 'number'; value: number }
  | { kind: 'metric'; name: string }
  | { kind: 'unary'; operator: UnaryOperator; of: FormulaNode }
  | { kind: 'binary'; operator: BinaryOperator; left: FormulaNode; right: FormulaNode }
  | { kind: 'choice'; test: FormulaNode; yes: FormulaNode; no: FormulaNode }
  | { kind: 'call'; name: FormulaFunction; arguments: FormulaNode[] };

export const UNARY_OPERATORS = ['-', '+', '!'] as const;
export type UnaryOperator = (typeof UNARY_OPERATORS)[number];

/** What is false is 0, what is true is 1; anything but 0 counts as true. */
const BINARY = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
  '**': (a, b) => a ** b,
  '<': (a, b) => Number(a < b),
  '<=': (a, b) => Number(a <= b),
  '>': (a, b) => Number(a > b),
  '>=': (a, b) => Number(a >= b),
  '==': (a, b) => Number(a === b),
  '!=': (a, b) => Number(a !== b),
  '&&': (a, b) => Number(a !== 0 && b !== 0),
  '||': (a, b) => Number(a !== 0 || b !== 0),
} satisfies Record<string, (a: number, b: number) => number>;
export type BinaryOperator = keyof typeof BINARY;
export const BINARY_OPERATORS = Object.keys(BINARY) as readonly BinaryOperator[];

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

/** Each takes at least one number. */
const FUNCTIONS = {
  max: (values) => Math.max(...values),
  min: (values) => Math.min(...values),
  sum,
  mean: (values) => sum(values) / values.length,
  median: (values) => {
    const sorted = values.toSorted((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
  },
  abs: ([value = NaN]) => Math.abs(value),
  ceil: ([value = NaN]) => Math.ceil(value),
  floor: ([value = NaN]) => Math.floor(value),
  round: ([value = NaN]) => Math.round(value),
} satisfies Record<string, (values: readonly number[]) => number>;
export type FormulaFunction = keyof typeof FUNCTIONS;
export const FORMULA_FUNCTIONS = Object.keys(FUNCTIONS) as readonly FormulaFunction[];
/** Those that take one number only. */
export const OF_ONE_NUMBER: ReadonlySet<FormulaFunction> = new Set(['abs', 'ceil', 'floor', 'round'] as const);

/** `metric`: the number that stands for a name. NaN and Infinity come out as they come: whoever asks has to look. */
export function evaluateFormula(node: FormulaNode, metric: (name: string) => number): number {
  switch (node.kind) {
    case 'number':
      return node.value;
    case 'metric':
      return metric(node.name);
    case 'unary': {
      const value = evaluateFormula(node.of, metric);
      return node.operator === '-' ? -value : node.operator === '!' ? Number(value === 0) : value;
    }
    case 'binary':
      return BINARY[node.operator](evaluateFormula(node.left, metric), evaluateFormula(node.right, metric));
    case 'choice':
      return evaluateFormula(evaluateFormula(node.test, metric) === 0 ? node.no : node.yes, metric);
    case 'call':
      return FUNCTIONS[node.name](node.arguments.map((argument) => evaluateFormula(argument, metric)));
  }
}
