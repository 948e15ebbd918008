/** What every CustomResourceDefinition of this program has. */
import type { Schema } from './structural.ts';

export const GROUP = 'dormouse.dev';
export const VERSION = 'v1alpha1';

export interface Definition {
  kind: string;
  plural: string;
  shortNames: readonly string[];
  description: string;
  labels?: Readonly<Record<string, string>>;
  columns: readonly { name: string; type: string; jsonPath: string; description?: string; priority?: number }[];
  spec: Schema;
  status: Schema;
  /** Rules that look at metadata.name. */
  rules?: readonly object[];
}

export function customResource(definition: Definition): Schema {
  const { kind, plural, shortNames, description, labels, columns, spec, status, rules } = definition;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${GROUP}`, ...(labels === undefined ? {} : { labels }) },
    spec: {
      group: GROUP,
      scope: 'Namespaced',
      names: {
        kind,
        listKind: `${kind}List`,
        plural,
        singular: kind.toLowerCase(),
        shortNames,
        categories: ['dormouse'],
      },
      versions: [
        {
          name: VERSION,
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: columns,
          schema: {
            openAPIV3Schema: {
              type: 'object',
              description,
              required: ['spec'],
              properties: {
                apiVersion: { type: 'string' },
                kind: { type: 'string' },
                metadata: { type: 'object' },
                spec,
                status,
              },
              ...(rules === undefined ? {} : { 'x-kubernetes-validations': rules }),
            },
          },
        },
      ],
    },
  };
}

export const AGE = { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' } as const;

/** metav1.Condition, one of each type. */
export function conditions(): Schema {
  const word = '^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$';
  return {
    description: 'What holds and what does not, since when, and what to do about it',
    type: 'array',
    maxItems: 32,
    'x-kubernetes-list-type': 'map',
    'x-kubernetes-list-map-keys': ['type'],
    items: {
      type: 'object',
      required: ['type', 'status', 'reason', 'message', 'lastTransitionTime'],
      properties: {
        type: { type: 'string', maxLength: 316 },
        status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
        reason: { type: 'string', minLength: 1, maxLength: 1024, pattern: word },
        message: { type: 'string', maxLength: 32_768 },
        lastTransitionTime: { type: 'string', format: 'date-time' },
        observedGeneration: { type: 'integer', format: 'int64', minimum: 0 },
      },
    },
  };
}

/** `generation` that a status was written for. */
export function observedGeneration(): Schema {
  return { type: 'integer', format: 'int64', minimum: 0, description: 'metadata.generation that this status is of' };
}

export function time(description: string): Schema {
  return { type: 'string', format: 'date-time', description };
}

export function text(description: string, maxLength: number): Schema {
  return { type: 'string', maxLength, description };
}

export function count(description: string): Schema {
  return { type: 'integer', minimum: 0, description };
}
