import type { Ground, Target } from './targets.ts'
export async function startGateway(_ground: Ground): Promise<Target> {
  throw new Error('not yet')
}
