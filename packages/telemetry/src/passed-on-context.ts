import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Context,
  type ContextManager,
  createContextKey,
  ROOT_CONTEXT,
  type TextMapPropagator,
} from '@opentelemetry/api'
import { parseTraceparent } from './trace-context.ts'

/** A caller's trace, in the words in which it came. */
interface CallersTrace {
  traceparent: string
  tracestate: string | undefined
}

const key = createContextKey('the trace of a caller')

/** Hands a caller's trace context on as it came: where no span is made there is nothing to add to it. */
export const passedOn: TextMapPropagator = {
  fields: () => ['traceparent', 'tracestate'],
  extract(context, carrier, getter) {
    const [traceparent, tracestate] = ['traceparent', 'tracestate'].map(name =>
      [getter.get(carrier, name)].flat().join(),
    )
    if (parseTraceparent(traceparent) === undefined) return context.deleteValue(key)
    return context.setValue(key, { traceparent, tracestate: tracestate === '' ? undefined : tracestate })
  },
  inject(context, carrier, setter) {
    const trace = context.getValue(key) as CallersTrace | undefined
    if (trace === undefined) return
    setter.set(carrier, 'traceparent', trace.traceparent)
    if (trace.tracestate !== undefined) setter.set(carrier, 'tracestate', trace.tracestate)
  },
}

/** Which context is active: like OpenTelemetry's own manager, and one can be entered where there is no callback to run in it. */
export class PassedOnContext implements ContextManager {
  readonly #store = new AsyncLocalStorage<Context>()

  /** Active until the callback that runs now ends, and in all that it starts. */
  enter(context: Context): void {
    this.#store.enterWith(context)
  }

  active(): Context {
    return this.#store.getStore() ?? ROOT_CONTEXT
  }

  with<Args extends unknown[], Run extends (...args: Args) => ReturnType<Run>>(
    context: Context,
    run: Run,
    thisArg?: ThisParameterType<Run>,
    ...args: Args
  ): ReturnType<Run> {
    return this.#store.run(context, () => run.apply(thisArg, args))
  }

  bind<T>(context: Context, target: T): T {
    if (typeof target !== 'function') return target
    const store = this.#store
    const bound = function (this: unknown, ...args: unknown[]): unknown {
      return store.run(context, () => target.apply(this, args))
    }
    return bound as T
  }

  enable(): this {
    return this
  }

  disable(): this {
    this.#store.disable()
    return this
  }
}
