/**
 * Loaded before a service: `SLUICE_MUTANT` names source to be read otherwise, as JSON. A mutant is the shipped program with
 * one defence taken away, so that what a scenario says of the defence is shown to depend on it.
 */
import { registerHooks } from 'node:module'
import type { Replacement } from '../mutant.ts'
import { replaceSource } from './replaced-source.ts'

const replacements = JSON.parse(process.env.SLUICE_MUTANT ?? '[]') as Replacement[]

registerHooks({
  load: (url, context, nextLoad) => replaceSource(url, nextLoad(url, context), replacements),
})
