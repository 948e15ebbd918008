/**
 * Reads a formula: jsep makes a tree of the text, and what of that tree is arithmetic over known names becomes a tree of our own. Everything else that
 * jsep knows (members, calls of anything, texts, assignments) is refused with its place.
 */
import jsep, { type Expression } from 'jsep';
import {
  BINARY_OPERATORS,
  FORMULA_FUNCTIONS,
  OF_ONE_NUMBER,
  UNARY_OPERATORS,
  type BinaryOperator,
  type FormulaFunction,
  type FormulaNode,
  type UnaryOperator,
} from '../model/formula.ts';
import { nearestName } from '../model/nearest-name.ts';

export interface FormulaFault {
  message: string;
  hint: string;
}

const MAX_LENGTH = 1000;
const MAX_DEPTH = 64;
const SHOWN = 20;

/** How a name of a trigger is written in a formula, where - is minus. */
export function formulaName(name: string): string {
  return name.replaceAll(/[-.]/g, '_');
}

/** `names`: what it may name, as written in formulas. Never throws. */
export function readFormula(text: string, names: readonly string[]): FormulaNode | FormulaFault {
  if (text.length > MAX_LENGTH) return fault(`is longer than ${MAX_LENGTH} characters`, 'make it shorter');
  if (deepest(text) > MAX_DEPTH) return fault(`is nested deeper than ${MAX_DEPTH} levels`, 'make it simpler');
  let parsed: Expression;
  try {
    parsed = jsep(text);
  } catch (error) {
    const { description = String(error), index = 0 } = error as { description?: string; index?: number };
    return fault(`can't be read at position ${index + 1}: ${description}`, EXAMPLE);
  }
  try {
    return new Reading(text, names).node(parsed, 0);
  } catch (error) {
    if (error instanceof Refused) return error.fault;
    throw error;
  }
}

const EXAMPLE = 'write arithmetic over names of triggers: max(http, jobs / 2)';

class Refused extends Error {
  readonly fault: FormulaFault;

  constructor(message: string, hint: string) {
    super(message);
    this.fault = { message, hint };
  }
}

class Reading {
  readonly #text: string;
  readonly #names: readonly string[];

  constructor(text: string, names: readonly string[]) {
    this.#text = text;
    this.#names = names;
  }

  node(expression: Expression, depth: number): FormulaNode {
    // A sum of many is deep to the left: as long as the text allows.
    if (depth > MAX_LENGTH) throw new Refused(`is nested deeper than ${MAX_LENGTH} levels`, 'make it simpler');
    const read = (part: unknown): FormulaNode => this.node(part as Expression, depth + 1);
    switch (expression.type) {
      case 'Literal': {
        const { value, raw } = expression as unknown as { value: unknown; raw: string };
        if (typeof value === 'boolean') return { kind: 'number', value: Number(value) };
        if (typeof value === 'number' && Number.isFinite(value)) return { kind: 'number', value };
        throw this.#refused(String(raw), 'is no number');
      }
      case 'Identifier': {
        const { name } = expression as unknown as { name: string };
        if (this.#names.includes(name)) return { kind: 'metric', name };
        throw this.#unknown(name);
      }
      case 'UnaryExpression': {
        const { operator, argument } = expression as unknown as { operator: string; argument: unknown };
        if (!(UNARY_OPERATORS as readonly string[]).includes(operator)) throw this.#noOperator(operator);
        return { kind: 'unary', operator: operator as UnaryOperator, of: read(argument) };
      }
      case 'BinaryExpression': {
        const { operator, left, right } = expression as unknown as Record<'operator' | 'left' | 'right', unknown>;
        const meant = operator === '===' ? '==' : operator === '!==' ? '!=' : (operator as string);
        if (!(BINARY_OPERATORS as readonly string[]).includes(meant)) throw this.#noOperator(meant);
        return { kind: 'binary', operator: meant as BinaryOperator, left: read(left), right: read(right) };
      }
      case 'ConditionalExpression': {
        const { test, consequent, alternate } = expression as unknown as Record<string, unknown>;
        return { kind: 'choice', test: read(test), yes: read(consequent), no: read(alternate) };
      }
      case 'CallExpression':
        return this.#call(expression as unknown as { callee: Expression; arguments: unknown[] }, read);
      case 'Compound': {
        const { body } = expression as unknown as { body: unknown[] };
        const what = body.length === 0 ? 'is empty' : 'is more than one expression';
        throw new Refused(what, EXAMPLE);
      }
      default:
        throw new Refused(`has something that is no arithmetic (${expression.type})`, EXAMPLE);
    }
  }

  #call(
    { callee, arguments: given }: { callee: Expression; arguments: unknown[] },
    read: (part: unknown) => FormulaNode,
  ): FormulaNode {
    const name = callee.type === 'Identifier' ? (callee as unknown as { name: string }).name : '';
    if (!(FORMULA_FUNCTIONS as readonly string[]).includes(name)) {
      const near = nearestName(name, FORMULA_FUNCTIONS);
      const place = name === '' ? '' : ` at position ${this.#position(name)}`;
      throw new Refused(
        `${name === '' ? 'calls something' : JSON.stringify(cut(name))}${place} that is no function`,
        near === null ? `there are ${FORMULA_FUNCTIONS.join(', ')}` : `did you mean ${near}?`,
      );
    }
    // A list in place of several: avg([a, b]).
    const parts = given.flatMap((one) => {
      const { type, elements } = one as { type: string; elements?: unknown[] };
      return type === 'ArrayExpression' ? (elements ?? []) : [one];
    });
    const called = name as FormulaFunction;
    if (parts.length === 0) throw this.#refused(name, 'takes at least one number');
    if (parts.length > 1 && OF_ONE_NUMBER.has(called)) throw this.#refused(name, 'takes one number');
    return { kind: 'call', name: called, arguments: parts.map((part) => read(part)) };
  }

  #unknown(name: string): Refused {
    const near = nearestName(name, this.#names);
    const all = `there are ${this.#names.join(', ')}; - and . of a name are written _`;
    return this.#refused(name, 'is no trigger of this backend', near === null ? all : `did you mean ${near}?`);
  }

  #noOperator(operator: string): Refused {
    return this.#refused(operator, 'is no operator of formulas', `there are ${BINARY_OPERATORS.join(' ')} and ? :`);
  }

  #refused(what: string, why: string, hint = EXAMPLE): Refused {
    return new Refused(`${JSON.stringify(cut(what))} at position ${this.#position(what)} ${why}`, hint);
  }

  /** Of a whole word, from 1; jsep keeps no places. */
  #position(word: string): number {
    const isWord = /^\w+$/.test(word);
    for (let at = this.#text.indexOf(word); at >= 0; at = this.#text.indexOf(word, at + 1)) {
      const whole = !/\w/.test(this.#text[at - 1] ?? '') && !/\w/.test(this.#text[at + word.length] ?? '');
      if (!isWord || whole) return at + 1;
    }
    return 1;
  }
}

function cut(text: string): string {
  return text.length > SHOWN ? `${text.slice(0, SHOWN - 1)}…` : text;
}

/** Open brackets and signs in a row, before anything is read by a parser that calls itself. */
function deepest(text: string): number {
  let depth = 0;
  let most = 0;
  let signs = 0;
  for (const character of text) {
    if ('([{'.includes(character)) depth++;
    else if (')]}'.includes(character)) depth--;
    signs = '-+!~?'.includes(character) ? signs + 1 : /\s/.test(character) ? signs : 0;
    most = Math.max(most, depth, signs);
  }
  return most;
}

function fault(message: string, hint: string): FormulaFault {
  return { message, hint };
}
