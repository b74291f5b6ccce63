"""How far real heads turn, told without the face mesh: points of the skin are followed, a solid body solved.

Run by hand (see docs/experiments/biosignals.md):

python benchmarks/head_turn.py clips CLIPS NAME...   real clips: yaw and pitch of the mesh against the solid's
python benchmarks/head_turn.py portrait FILM.mp4     the same for a closed portrait of known turns

Corners of skin and brows (not of eyes, mouth and chin, which move by themselves) are followed by the optical
flow of Lucas and Kanade, forwards and backwards. A solid body, its turns, sizes and places are then what
explains the tracks best under weak perspective (Tomasi and Kanade 1992, 10.1007/BF00129684) or a camera at a
given distance: a bundle adjustment after Levenberg and Marquardt, points eliminated, Cauchy's weights. The
mesh says where skin is, gives the start, and which of two mirrored solutions is meant; the answer is the
tracks' own.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from biosignals import RATE, flat_rotations, read_frames
from biosignals_truth import FRAME, LIPS, OVAL, Actor, Encoder, turn_closed
from scipy.spatial.transform import Rotation

from unmask.faces.detect import Detector
from unmask.faces.face import HeadPose
from unmask.faces.landmarks import Landmarker
from unmask.faces.pose import NEUTRAL, RIGID
from unmask.faces.track import Tracker
from unmask.media.events import Frame
from unmask.runtime.session import set_threads
from unmask.signals.blink import LEFT_EYE, RIGHT_EYE
from unmask.signals.head_motion import angle_between, angles, fit_rotations, mean_rotation

STEP = 3
"""Every how many frames of a clip the head is solved; the flow follows all of them."""
RENEWED = 6
"""After so many of those, new corners are sought."""
CORNERS, KEPT = 120, 300
LEAST_SEEN, LEAST_TURN = 8, 8.0
"""A track counts if seen so often, and while the head turned by so many degrees."""
CHIN = (61, 291, 397, 152, 172)
DISTANCE = 10.0
"""Distance of a near camera in distances of the outer eye corners: 90 cm."""
SOFT = 0.01
"""Residual at which a track's weight is a half, in distances of the outer eye corners."""


@dataclass(frozen=True)
class Motion:
    """A solid body's motion: `rotations` (N, 3, 3), `scales` (N,), `shifts` (N, 2), `points` (K, 3)."""

    rotations: np.ndarray
    scales: np.ndarray
    shifts: np.ndarray
    points: np.ndarray

    def project(self, focal: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return places (N, K, 2) less the shifts, turned points (N, K, 3) and depths (N, K) about 1."""
        turned = np.einsum("nij,kj->nki", self.rotations, self.points)
        depth = 1 + self.scales[:, None] * turned[..., 2] / focal
        return self.scales[:, None, None] * turned[..., :2] / depth[..., None], turned, depth

    def moved(self, step: np.ndarray, points: np.ndarray) -> Motion:
        """Return the motion after a step (N, 6) of rotation vectors, log scales and shifts, and of points."""
        return Motion(
            Rotation.from_rotvec(step[:, :3]).as_matrix() @ self.rotations,
            self.scales * np.exp(np.clip(step[:, 3], -0.3, 0.3)),
            self.shifts + step[:, 4:],
            self.points + points,
        )


def adjust(tracks: np.ndarray, motion: Motion, *, focal: float, soft: float, rounds: int = 60) -> Motion:
    """Find the solid motion that explains (N, K, 2) tracks, NaN where not seen, starting from a guess.

    Args:
        tracks: places in pixels.
        motion: the guess.
        focal: of the camera in pixels; infinite: parallel rays.
        soft: residual in pixels at which a place's weight is a half.
        rounds: at most so many steps.
    """
    seen = np.isfinite(tracks[..., 0])
    places = np.where(seen[..., None], tracks, 0)

    def residuals(guess: Motion) -> np.ndarray:
        return guess.project(focal)[0] + guess.shifts[:, None] - places

    def cost(guess: Motion) -> float:
        return float(np.log1p((residuals(guess) ** 2).sum(axis=2) / soft**2)[seen].sum())

    damping, now = 1e-3, cost(motion)
    for _ in range(rounds):
        off = residuals(motion)
        weight = np.where(seen, 1 / (1 + (off**2).sum(axis=2) / soft**2), 0)
        by_camera, by_point = _derivatives(motion, focal)
        for _ in range(8):
            tried = motion.moved(*_step(off, weight, by_camera, by_point, damping))
            then = cost(tried)
            if then < now:
                break
            damping *= 5
        else:
            return motion
        settled = now - then < 1e-6 * now
        motion, now, damping = tried, then, max(damping / 5, 1e-9)
        if settled:
            break
    return motion


def _derivatives(motion: Motion, focal: float) -> tuple[np.ndarray, np.ndarray]:
    """Return places' derivatives by rotation, log scale, shift (N, K, 2, 6) and by points (N, K, 2, 3)."""
    place, turned, depth = motion.project(focal)
    scale = motion.scales[:, None]
    by_turned = np.zeros((*place.shape, 3))
    by_turned[..., 0, 0] = by_turned[..., 1, 1] = scale / depth
    by_turned[..., 2] = -place * (scale / focal / depth)[..., None]
    x, y, z = np.moveaxis(turned, -1, 0)
    zero = np.zeros_like(x)
    spin = np.stack([zero, z, -y, -z, zero, x, y, -x, zero], axis=-1).reshape(*x.shape, 3, 3)
    by_camera = np.zeros((*place.shape, 6))
    by_camera[..., :3] = by_turned @ spin
    by_camera[..., 3] = (by_turned @ turned[..., None])[..., 0]
    by_camera[..., 0, 4] = by_camera[..., 1, 5] = 1
    return by_camera, np.einsum("nkij,njl->nkil", by_turned, motion.rotations)


def _step(
    off: np.ndarray, weight: np.ndarray, by_camera: np.ndarray, by_point: np.ndarray, damping: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the damped Gauss-Newton step of cameras (N, 6) and points (K, 3); the points are eliminated."""
    cameras = np.einsum("nk,nkia,nkib->nab", weight, by_camera, by_camera)
    points = np.einsum("nk,nkia,nkib->kab", weight, by_point, by_point)
    mixed = np.einsum("nk,nkia,nkib->nkab", weight, by_camera, by_point)
    down_cameras = np.einsum("nk,nkia,nki->na", weight, by_camera, off)
    down_points = np.einsum("nk,nkia,nki->ka", weight, by_point, off)
    for blocks in (cameras, points):
        diagonal = np.einsum("naa->na", blocks)
        diagonal += damping * diagonal + 1e-9
    inverse = np.linalg.inv(points)
    count = len(cameras)
    left = np.einsum("nkab,kbc->nkac", mixed, inverse).transpose(0, 2, 1, 3).reshape(6 * count, -1)
    whole = -left @ mixed.transpose(0, 2, 1, 3).reshape(6 * count, -1).T
    blocks = np.einsum("nanb->nab", whole.reshape(count, 6, count, 6))
    blocks += cameras
    # Position, turn and size of the whole are free: a little stiffness picks one.
    whole += np.eye(6 * count) * 1e-7 * np.trace(whole) / (6 * count)
    step = -np.linalg.solve(whole, down_cameras.ravel() - left @ down_points.ravel()).reshape(count, 6)
    rest = down_points + np.einsum("nkab,na->kb", mixed, step)
    return step, -np.einsum("kab,kb->ka", inverse, rest)


def follow(pictures: Sequence[np.ndarray], meshes: np.ndarray, kept: Sequence[int]) -> np.ndarray:
    """Follow corners of the skin through (H, W) uint8 pictures.

    Args:
        pictures: all frames.
        meshes: (N, 478, 3) landmarks of some of them.
        kept: (N,) which ones these are, ascending.

    Returns:
        (N, K, 2) places in pixels in those frames, NaN where a corner is not seen.
    """
    size = float(np.ptp(meshes[:, :, 0], axis=1).mean())
    window = (int(max(11, round(size / 12))) | 1,) * 2
    number = {frame: index for index, frame in enumerate(kept)}
    points, names = np.zeros((0, 2), np.float32), np.zeros(0, int)
    found: list[tuple[int, np.ndarray, np.ndarray]] = []
    count = 0
    for frame in range(kept[0], kept[-1] + 1):
        if len(points):
            pair = pictures[frame - 1], pictures[frame]
            there, found_there, _ = cv2.calcOpticalFlowPyrLK(*pair, points, None, winSize=window, maxLevel=2)
            back, found_back, _ = cv2.calcOpticalFlowPyrLK(
                *pair[::-1], there, None, winSize=window, maxLevel=2
            )
            sure = (found_there[:, 0] > 0) & (found_back[:, 0] > 0)
            sure &= np.linalg.norm(back - points, axis=1) < 0.004 * size
            points, names = there[sure], names[sure]
        if frame not in number:
            continue
        index = number[frame]
        mask = _skin(pictures[frame].shape, meshes[index])
        height, width = mask.shape
        x, y = points.astype(int).T
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        inside[inside] = mask[y[inside], x[inside]] > 0
        points, names = points[inside], names[inside]
        if index % RENEWED == 0:
            for point in points:
                cv2.circle(mask, (int(point[0]), int(point[1])), int(size / 25) + 2, 0, -1)
            block = max(3, window[0] // 3 | 1)
            new = cv2.goodFeaturesToTrack(
                pictures[frame], CORNERS, 0.005, size / 25, mask=mask, blockSize=block
            )
            if new is not None:
                points = np.vstack([points, new[:, 0]])
                names = np.concatenate([names, count + np.arange(len(new))])
                count += len(new)
        found.append((index, names, points))
    tracks = np.full((len(kept), count, 2), np.nan)
    for index, which, where in found:
        tracks[index, which] = where
    return tracks


def _skin(shape: tuple[int, ...], mesh: np.ndarray) -> np.ndarray:
    """Return the (H, W) uint8 mask of the face without what moves by itself."""
    mask = np.zeros(shape[:2], np.uint8)
    for group, grown, value in (
        (OVAL, 0.95, 255),
        (RIGHT_EYE, 1.5, 0),
        (LEFT_EYE, 1.5, 0),
        (LIPS, 1.5, 0),
        (CHIN, 1.0, 0),
    ):
        points = mesh[list(group), :2]
        around = points.mean(axis=0) + grown * (points - points.mean(axis=0))
        cv2.fillConvexPoly(mask, cv2.convexHull(np.round(around).astype(np.int32)), value)
    return mask


def solved(
    tracks: np.ndarray, meshes: np.ndarray, *, distance: float
) -> tuple[np.ndarray, np.ndarray, float, int]:
    """Solve tracks for a solid head.

    Args:
        tracks: (N, K, 2).
        meshes: (N, 478, 3) landmarks of the same frames.
        distance: of the camera in distances of the outer eye corners; infinite: parallel rays.

    Returns:
        Which frames are solved (M,), their rotations (M, 3, 3), the median residual in distances of the outer
        eye corners, and how many tracks were used.
    """
    start = flat_rotations(meshes[:, RIGID, :2], NEUTRAL)
    seen = np.isfinite(tracks[..., 0])
    turned = np.array([angle_between(start[s], start[s][:1]).max() if s.any() else 0 for s in seen.T])
    good = np.flatnonzero((seen.sum(axis=0) >= LEAST_SEEN) & (turned > LEAST_TURN))
    good = good[np.argsort(-(seen.sum(axis=0) * turned)[good], kind="stable")[:KEPT]]
    frames = np.flatnonzero(seen[:, good].sum(axis=1) >= LEAST_SEEN)
    tracks, seen, start = tracks[frames][:, good], seen[frames][:, good], start[frames]
    eyes = np.linalg.norm(meshes[frames, 33] - meshes[frames, 263], axis=1)
    unit = float(np.median(eyes))
    shifts = meshes[frames][:, [6, 4], :2].mean(axis=1)
    views = (eyes / unit)[:, None, None] * start[:, :2]
    points = np.zeros((len(good), 3))
    for k, s in enumerate(seen.T):
        # Held a little to depth 0: a track of few views leaves it open.
        matrix = np.vstack([views[s].reshape(-1, 3), 0.3 * np.eye(3)])
        target = np.concatenate([(tracks[s, k] - shifts[s]).ravel(), np.zeros(3)])
        points[k] = np.linalg.lstsq(matrix, target, rcond=None)[0]
    focal, soft = distance * unit, SOFT * unit
    motion = adjust(tracks, Motion(start, eyes / unit, shifts, points), focal=focal, soft=soft)
    off = np.linalg.norm(motion.project(focal)[0] + motion.shifts[:, None] - tracks, axis=2)
    return frames, motion.rotations, float(np.median(off[seen])) / unit, len(good)


def about_mean(rotations: np.ndarray) -> np.ndarray:
    """Return (N, 3) yaw, pitch and roll in degrees from the mean of (N, 3, 3) rotations."""
    return angles(rotations @ mean_rotation(rotations).T)


def gain(told: np.ndarray, true: np.ndarray) -> float:
    """Return the slope of (N,) angles against others (least squares)."""
    a, b = told - told.mean(), true - true.mean()
    return float(a @ b / (b @ b))


def meshes_of(frames: Sequence[Frame]) -> tuple[np.ndarray, list[int]]:
    """Return the landmarks of the largest face in every `STEP`-th frame, (N, 478, 3), and which frames."""
    tracker = Tracker(Detector(threads=1), Landmarker(threads=1))
    meshes, kept = [], []
    for index, frame in enumerate(frames[::STEP]):
        faces = [f for f in tracker.update(frame, landmarks=True) if f.landmarks is not None]
        if faces:
            largest = max(faces, key=lambda face: float(face.detection.box[3]))
            assert largest.landmarks is not None
            meshes.append(largest.landmarks.astype(np.float64))
            kept.append(STEP * index)
    return np.stack(meshes), kept


def table(name: str, frames: Sequence[Frame], true: np.ndarray | None = None) -> None:
    """Print one clip's rows; `true` (N, 3, 3) are the rotations of all frames where they are known."""
    meshes, kept = meshes_of(frames)
    tracks = follow([cv2.cvtColor(f.pixels, cv2.COLOR_RGB2GRAY) for f in frames], meshes, kept)
    for distance in (np.inf, DISTANCE):
        which, solid, residual, count = solved(tracks, meshes, distance=distance)
        points = meshes[which][:, RIGID]
        ways = {
            "x, y, z": fit_rotations(points, NEUTRAL)[1],
            "x, y": flat_rotations(points[..., :2], NEUTRAL),
        }
        reference = solid
        if true is not None:
            reference = true[np.array(kept)[which]]
            ways["tracks"] = solid
        turned = about_mean(reference)
        cells = [f"{name} | {distance:g} | {count} | {100 * residual:.1f} %"]
        cells += [f"{np.ptp(turned[:, axis]):.0f}" for axis in (0, 1)]
        for rotations in ways.values():
            measured = about_mean(rotations)
            off = angle_between(
                rotations @ mean_rotation(rotations).T, reference @ mean_rotation(reference).T
            ).mean()
            slopes = [gain(measured[:, axis], turned[:, axis]) for axis in (0, 1)]
            cells.append(f"{slopes[0]:.2f}, {slopes[1]:.2f}, {off:.1f}")
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("clips")
    sub.add_argument("folder", type=Path)
    sub.add_argument("names", nargs="+")
    sub = commands.add_parser("portrait")
    sub.add_argument("output", type=Path)
    arguments = parser.parse_args()
    set_threads(1)
    cv2.setNumThreads(1)
    print(
        "| clip | camera | tracks | residual | yaw spans | pitch spans | gain of yaw, of pitch, off by: ... |"
    )
    if arguments.command == "clips":
        for name in arguments.names:
            table(name, read_frames(arguments.folder / f"{name}.mp4"))
        return
    time = np.linspace(0, 2 * np.pi, 61)
    poses = [HeadPose(22 * np.sin(t), 8 * np.sin(2 * t), 4 * np.sin(t + 1)) for t in time]
    true = Rotation.from_euler("ZYX", [[p.roll, -p.yaw, -p.pitch] for p in poses], degrees=True).as_matrix()
    encoder = Encoder(arguments.output, rate=RATE, crf=23, side=FRAME)
    for pixels in turn_closed(Actor(), poses):
        encoder.write(pixels)
    encoder.close()
    table("closed portrait", read_frames(arguments.output), true)


if __name__ == "__main__":
    main()
