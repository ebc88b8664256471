"""The straight path of every fusion: judge, admit, decode, align, queue and fuse, encode."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from expofuse.errors import FileError
from expofuse.files.formats import EncodeOptions
from expofuse.files.headers import ImageHeader, check_size, sniff
from expofuse.files.white_balance import choose_balanced
from model.describe import summarise_alignment
from model.exposure import ALIGNMENT_HELPS, check_one_size
from service.admission import (
    PIXELS_PER_MEGAPIXEL,
    Allowance,
    count_megapixels,
    count_resized,
    count_turned,
)
from service.backlog import Work
from service.codec.messages import DecodedImage, StackFound
from service.device.job_queue import JobQueue
from service.device.messages import FuseJob
from service.errors import CodecError
from service.fusing.accept import check_result, choose_encoding
from service.fusing.form import Form
from service.fusing.options import MEDIA_TYPES, FuseOptions, choose_weights
from service.fusing.price import price_work
from service.fusing.told import tell_fusion
from service.lifecycle import Service
from service.problem_types import FUSED_OUTCOME
from service.processes.job_blocks import JobBlocks
from service.processes.shared_memory import SampleType, SharedDescriptor
from service.request_record import RequestRecord
from service.served_weights import ServedWeights
from service.turns import Turn


@dataclass(frozen=True, slots=True)
class Fusion:
    """What is to be fused, and how; judged by headers and options alone.

    Attributes:
        form: The encoded exposures; its files are let go once they are decoded.
        options: Of the request.
        weights: What fuses them.
        headers: Of the exposures, as sent.
        encoding: How the picture is written.
        resized: Exposures that may have to be brought to another size.
        megapixels: What the fusion counts against the budget.
        work: What its stages are expected to take.
    """

    form: Form
    options: FuseOptions
    weights: ServedWeights
    headers: Sequence[ImageHeader]
    encoding: EncodeOptions
    resized: int
    megapixels: float
    work: Work


@dataclass(frozen=True, slots=True)
class FusedPicture:
    """A picture that is ready to be sent.

    Attributes:
        picture: The encoded picture.
        allowance: Holds its bytes in the budget of pictures that are not read yet; whoever takes
            the picture releases it.
        media_type: Of the picture.
        headers: What is told about it.
    """

    picture: bytes
    allowance: Allowance
    media_type: str
    headers: dict[str, str]


def judge(form: Form, options: FuseOptions, accept: str, service: Service) -> Fusion:
    """Refuse what headers and options alone can refuse, before anything is admitted or decoded.

    Args:
        form: As a client sent it.
        options: Of the request.
        accept: Its `Accept` headers, joined by commas.
        service: Its parts.

    Raises:
        OptionError: An option cannot be met.
        NotAcceptableError: The client takes no format that can hold the picture.
        MediaTypeError, ImageDecodeError, UnsupportedImageError, PixelLimitError: An exposure.
        ExposureError: The exposures do not form a stack.
    """
    weights = choose_weights(options, service.info.weights)
    headers = _judge_headers(form, options, service)
    resized = count_resized(headers, options.reference)
    encoding = choose_encoding(options, accept, headers)
    return Fusion(
        form=form,
        options=options,
        weights=weights,
        headers=headers,
        encoding=encoding,
        resized=resized,
        megapixels=count_megapixels(headers, resized=resized),
        work=price_work(headers, options, encoding),
    )


async def run_fusion(
    fusion: Fusion, upload: Allowance, record: RequestRecord, service: Service
) -> FusedPicture:
    """Admit, decode, align, queue and fuse, encode; any step may refuse or fail.

    Args:
        fusion: From `judge`; its files are let go once they are decoded.
        upload: What the files count; released once they are decoded.
        record: Takes the times of the stages, and the outcome.
        service: Its parts.

    Returns:
        The picture; its allowance is the caller's.

    Raises:
        FusionError: Any step's.
    """
    options, headers, stages = fusion.options, fusion.headers, record.stages
    largest_px = max(header.pixels for header in headers)
    megapixels = record.megapixels = fusion.megapixels
    record.weights = fusion.weights.label
    admission, backlog = service.admission, service.admission.backlog
    with (
        admission.admit(
            megapixels, fusion.work, record.caller, patience_s=record.patience_s
        ) as admitted,
        service.device.lease(fusion.weights) as worker,
        ExitStack() as more,
        JobBlocks(service.blocks) as blocks,
    ):
        service.metrics.pair_megapixels.observe(largest_px / PIXELS_PER_MEGAPIXEL)
        with stages.measure("decode"):
            images = await _decode(fusion, blocks, admitted.turn, service)
            fusion.form.files.clear()
            upload.release()
        backlog.finish(admitted, "decode")
        with stages.measure("align"):
            dtype = images[0].pixels.dtype
            rooms = fusion.resized + count_turned([image.orientation for image in images])
            if rooms > fusion.resized:
                in_all = count_megapixels(headers, resized=rooms)
                more.enter_context(admission.admit_more(in_all - megapixels, record.caller))
            found = await service.codec.register(
                images,
                align=options.align,
                ghosts=options.ghosts,
                reference=options.reference,
                pair_reference=fusion.weights.reference,
                crop=options.crop,
                rooms=[await blocks.take((largest_px, 3), dtype) for _ in range(rooms)],
                turn=admitted.turn,
            )
            frame = found.frame if options.crop == "common" else None
            check_result(fusion.encoding, found.exposures[0], frame)
        backlog.finish(admitted, "align")
        output = await _fuse(
            found,
            fusion.weights,
            admitted.turn,
            record,
            blocks,
            worker,
            is_alone=admission.jobs == 1,
        )
        backlog.finish(admitted, "fuse")
        with stages.measure("encode"):
            picture = await service.codec.encode(
                output,
                options=fusion.encoding,
                metadata=images[found.used[found.reference]].metadata,
                frame=frame,
                turn=admitted.turn,
            )
        backlog.finish(admitted, "encode")
        # Before the job's budgets are given back, so that no byte is uncounted for a moment.
        allowance = admission.hold_response(len(picture))
    service.metrics.alignments.labels(summarise_alignment(found.alignment)).inc()
    service.metrics.replaced_share.observe(found.replaced_share)
    if len(found.used) > 1:
        service.metrics.exposure_gap_ev.observe(found.gap_ev)
    record.outcome = FUSED_OUTCOME
    record.end = time.monotonic()
    return FusedPicture(
        picture,
        allowance,
        MEDIA_TYPES[fusion.encoding.format],
        {
            **tell_fusion(options, fusion.weights, images, found),
            "Server-Timing": stages.server_timing(),
        },
    )


async def _fuse(
    found: StackFound,
    weights: ServedWeights,
    turn: Turn,
    record: RequestRecord,
    blocks: JobBlocks,
    worker: JobQueue,
    *,
    is_alone: bool,
) -> SharedDescriptor:
    """Have the used exposures fused; a single one is the picture."""
    exposures = found.exposures
    if len(exposures) == 1:
        now = time.monotonic()
        record.stages.record("queue", 0.0, begin=now)
        record.stages.record("fuse", 0.0, begin=now)
        return exposures[0]
    output = await blocks.take(exposures[0].shape, exposures[0].dtype)
    job = FuseJob(
        exposures,
        found.used,
        output,
        found.reference,
        found.alignment,
        found.ghosts,
        weights.label,
        is_alone,
    )
    record.stages.current = "queue"
    record.find_place = partial(worker.find_place, job)
    begin = time.monotonic()
    times = await worker.fuse(job, turn=turn)
    record.stages.record("queue", times.queue_s, begin=begin)
    record.stages.record("fuse", times.fuse_s, begin=begin + times.queue_s)
    return output


def _judge_headers(form: Form, options: FuseOptions, service: Service) -> list[ImageHeader]:
    headers: list[ImageHeader] = []
    for index, file in enumerate(form.files):
        with _naming(form.name_exposure(index)):
            header = sniff(file)
            check_size(header, service.pixel_limits)
        headers.append(header)
    if options.align == "off" and len({header.sides for header in headers}) > 1:
        sizes = [(header.width_px, header.height_px) for header in headers]
        check_one_size(sizes, advice=ALIGNMENT_HELPS)
    return headers


async def _decode(
    fusion: Fusion, blocks: JobBlocks, turn: Turn, service: Service
) -> list[DecodedImage]:
    """Decode all at once, but of raw files first the one whose white balance is for all."""
    form, headers = fusion.form, fusion.headers
    dtype: SampleType = "uint16" if 16 in {header.bits for header in headers} else "uint8"
    destinations = [
        await blocks.take((header.height_px, header.width_px, 3), dtype) for header in headers
    ]

    async def decode(index: int, balance: tuple[float, ...] | None = None) -> DecodedImage:
        with _naming(form.name_exposure(index)):
            return await service.codec.decode(
                form.files[index],
                destination=destinations[index],
                white_balance=balance,
                turn=turn,
            )

    raws = [index for index, header in enumerate(headers) if header.format == "raw"]
    found: dict[int, DecodedImage] = {}
    balance = None
    if raws:
        reference = fusion.options.reference
        first = choose_balanced(raws, wanted=None if reference is None else reference - 1)
        found[first] = await decode(first)
        balance = found[first].white_balance
    rest = [index for index in range(len(headers)) if index not in found]
    decodings = [asyncio.ensure_future(decode(index, balance)) for index in rest]
    try:
        found |= zip(rest, await asyncio.gather(*decodings), strict=True)
        return [found[index] for index in range(len(headers))]
    finally:
        # The first failure decides the answer; the other calls must not go on behind its back.
        for decoding in decodings:
            decoding.cancel()
        await asyncio.gather(*decodings, return_exceptions=True)


@contextmanager
def _naming(exposure: str) -> Iterator[None]:
    """Let the message of an error say which exposure it is about."""
    try:
        yield
    except (FileError, CodecError) as error:
        raise type(error)(f"{exposure}: {error.message}") from error
