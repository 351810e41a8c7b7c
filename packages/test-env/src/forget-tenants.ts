import { currentScope } from '@sluice/runtime'
import {
  type BinaryOperationNode,
  type KyselyPlugin,
  type OperationNode,
  OperationNodeTransformer,
  RawNode,
} from 'kysely'

/** Columns that say whose a row is. */
const tenantColumns: ReadonlySet<string> = new Set(['project_id', 'account_id', 'owner'])
const namesTenant = /\b(?:\w+\.)?(?:project_id|account_id|owner)\s*=\s*$/

/** A plugin for a database of requests, and how many conditions it has taken away so far. */
export interface ForgetTenants {
  plugin: KyselyPlugin
  readonly forgotten: number
}

/**
 * Takes every condition on a tenant out of what is asked for somebody: what a query would be whose author forgot it.
 * Conditions that join two tables stay, and so do questions of our own tasks, which no tenant's wall stands before.
 */
export function forgetTenants(): ForgetTenants {
  const transformer = new Forgetful()
  return {
    plugin: {
      transformQuery: ({ node, queryId }) => {
        const scope = currentScope()
        return scope && !scope.system ? transformer.transformNode(node, queryId) : node
      },
      transformResult: async ({ result }) => result,
    },
    get forgotten() {
      return transformer.forgotten
    },
  }
}

class Forgetful extends OperationNodeTransformer {
  forgotten = 0

  protected override transformBinaryOperation(node: BinaryOperationNode): BinaryOperationNode {
    if (isTenantColumn(node.leftOperand) && isValue(node.rightOperand)) {
      this.forgotten++
      // Stands wherever a condition does.
      return RawNode.createWithSql('true') as unknown as BinaryOperationNode
    }
    return super.transformBinaryOperation(node)
  }

  protected override transformRaw(node: RawNode): RawNode {
    const sqlFragments = [...node.sqlFragments]
    for (const [at, parameter] of node.parameters.entries()) {
      const [before = '', after = ''] = [sqlFragments[at], sqlFragments[at + 1]]
      const found = namesTenant.exec(before)
      if (!found || !isValue(parameter)) continue
      this.forgotten++
      // The value stays a parameter of its type.
      sqlFragments[at] = `${before.slice(0, found.index)}(true or ${found[0]}`
      sqlFragments[at + 1] = after.startsWith('::') ? after.replace(/^::[a-z[\]]+/, '$&)') : `)${after}`
    }
    return super.transformRaw({ ...node, sqlFragments })
  }
}

function isTenantColumn(node: OperationNode): boolean {
  if (node.kind !== 'ReferenceNode') return false
  const { column } = node as unknown as { column: { kind: string; column?: { name: string } } }
  return column.kind === 'ColumnNode' && tenantColumns.has(column.column?.name ?? '')
}

function isValue({ kind }: OperationNode): boolean {
  return kind === 'ValueNode' || kind === 'ValueListNode' || kind === 'PrimitiveValueListNode'
}
