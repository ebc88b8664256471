"""What decides the bytes of a picture is in its tag."""

import asyncio

from starlette.datastructures import QueryParams

from expofuse.files.formats import EncodeOptions
from expofuse.files.headers import sniff
from service.fusing.form import Form
from service.fusing.options import parse_options
from service.fusing.path import Fusion
from service.fusing.tag import name_fusion
from service.served_weights import WorkerInfo
from tests import images
from tests.service.backends import COPY


def name(jpeg):
    file = images.encoded("jpeg")
    fusion = Fusion(
        form=Form(["under", "over"], [bytearray(file), bytearray(file)]),
        options=parse_options(QueryParams(), {}),
        weights=COPY,
        headers=[sniff(file)] * 2,
        encoding=EncodeOptions("jpeg"),
        resized=0,
        megapixels=0.006,
        work={},
    )
    return asyncio.run(name_fusion(fusion, WorkerInfo((COPY,), "cuda:0"), jpeg))


def test_what_reads_and_writes_jpeg_files_decides_the_picture_and_not_what_was_asked():
    by_cpu, by_gpu = name("libjpeg-turbo"), name("nvimagecodec")
    assert by_cpu.asked == by_gpu.asked
    assert by_cpu.entity_tag != by_gpu.entity_tag
    assert by_gpu == name("nvimagecodec")
